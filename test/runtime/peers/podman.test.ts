/** podman and conmon drive tsd-runc as they drive runc. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../../harness/command.ts";
import { type Peer, preparePodman, runtimes } from "../../harness/peers.ts";
import { TerminalSession } from "../../harness/terminal.ts";
import { Workspace } from "../../harness/workspace.ts";

let workspace: Workspace;
let podman: Peer;

beforeAll(async () => {
  workspace = await Workspace.open();
  podman = await preparePodman(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose](), 60_000);

const isV1 = await Bun.file("/sys/fs/cgroup/memory/cgroup.procs").exists();
const inspect = (format: string, id: string) => podman.ok("inspect", "--format", `{{${format}}}`, id);
const stateOf = (id: string) => inspect(".State.Status}} {{.State.ExitCode", id);

test("the runtime is the one that containers.conf names", async () => {
  const info = await podman.ok("info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Version}}");
  expect(info).toMatch(/^tsd-runc tsd-runc version /);
});

describe.each(runtimes)("with %s a container", (runtime) => {
  const argv = (...words: string[]) => ["--runtime", runtime, ...words];
  const run = (flags: string[], ...args: string[]) => {
    const network = flags.some((flag) => flag === "--network" || flag === "--pod") ? [] : ["--network", "none"];
    const own = ["--cgroup-parent", workspace.cgroupParent, ...network];
    return argv("run", ...own, ...flags, podman.image, ...args);
  };
  const shell = (flags: string[], script: string) => podman.run(run(["--rm", ...flags], "sh", "-c", script));
  /** A container that runs until the test ends. */
  const running = async (flags: string[] = [], ...args: string[]) => {
    const id = await podman.ok(...run(["-d", ...flags], ...(args.length > 0 ? args : ["sleep", "1000"])));
    return {
      id,
      [Symbol.asyncDispose]: async () => {
        await podman.ok("rm", "-f", "-t", "0", id);
      },
    };
  };

  test("ends with its status, or 128 and the signal that ended it", async () => {
    const result = await shell([], "echo out; echo err >&2; exit 7");
    expect(result).toEqual({ status: 7, stdout: "out\n", stderr: "err\n" });
    await using killed = await running();
    expect(await inspect(".OCIRuntime", killed.id)).toBe(runtime);
    await podman.ok("kill", "--signal", "KILL", killed.id);
    expect(await podman.ok("wait", killed.id)).toBe("137");
  });

  test("has 127 and 126 for a command that is not there, or not executable, with the runtime's reason", async () => {
    const missing = await podman.run(run(["--rm"], "nope"));
    expect([missing.status, missing.stderr]).toEqual([
      127,
      expect.stringMatching(/: exec: "nope": executable file not found in \$PATH/),
    ]);
    const text = await podman.run(run(["--rm"], "/etc/not-executable"));
    expect([text.status, text.stderr]).toEqual([
      126,
      expect.stringMatching(/: exec: "\/etc\/not-executable": permission denied/),
    ]);
    expect(await podman.ok("ps", "-aq")).toBe("");
  });

  test("is who it is told to be, with no more than it is given", async () => {
    const flags = ["-u", "alice", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "--hostname", "named"];
    flags.push(
      "--security-opt",
      "no-new-privileges",
      "--sysctl",
      "net.ipv4.ip_forward=0",
      "--ulimit",
      "nofile=77:88",
      "--ulimit",
      "nproc=1000:1000",
    );
    const script =
      "id; hostname; ulimit -n; cat /proc/sys/net/ipv4/ip_forward; grep -E 'CapBnd|NoNew|Seccomp:' /proc/self/status";
    const { stdout, stderr } = await shell(flags, script);
    expect([stdout.replaceAll("\t", " "), stderr]).toEqual([
      "uid=1000(alice) gid=1000(alice) groups=29(audio),100(users),1000(alice)\nnamed\n77\n0\nCapBnd: 0000000000002000\nNoNewPrivs: 1\nSeccomp: 2\n",
      "",
    ]);
  });

  test("has all of its caller's capabilities and devices when it is privileged", async () => {
    const { stdout, stderr } = await shell(
      ["--privileged"],
      "grep CapEff /proc/self/status; test -c /dev/kmsg && mount -t tmpfs none /home",
    );
    const own = /^CapEff:\t\w+$/m.exec(readFileSync("/proc/self/status", "utf8"))![0];
    expect([stdout, stderr]).toEqual([`${own}\n`, ""]);
  });

  test("can be read-only, with directories that are not", async () => {
    const flags = ["--read-only", "-v", "kept:/kept", "--mount", "type=tmpfs,destination=/etc,tmpfs-size=1m,tmpcopyup"];
    const script = "touch /x; touch /tmp/x /run/x /kept/x /etc/x && cut -d: -f1 /etc/group";
    const { stdout, stderr } = await shell(flags, script);
    expect(stdout).toBe("root\ndaemon\naudio\nusers\nalice\n");
    expect(stderr).toContain("/x: Read-only file system");
    await podman.ok("volume", "rm", "kept");
  });

  test("has users of its own in a user namespace", async () => {
    const flags = ["--uidmap", "0:100000:1000", "--gidmap", "0:100000:1000"];
    const { stdout, stderr } = await shell(flags, "cat /proc/self/uid_map; touch /x; stat -c %u:%g /x /etc/passwd");
    expect([stdout.replace(/ +/g, " "), stderr]).toEqual([" 0 100000 1000\n0:0\n0:0\n", ""]);
  });

  test("reads standard input to its end, and its logs are kept", async () => {
    const name = `piped-${runtime}`;
    const piped = await podman.run(run(["-i", "--name", name], "sh", "-c", "cat; echo end; echo err >&2"), {
      stdin: "one\n",
    });
    expect(piped).toEqual({ status: 0, stdout: "one\nend\n", stderr: "err\n" });
    expect(await podman.run(["logs", name])).toMatchObject({ stdout: "one\nend\n", stderr: "err\n" });
    await podman.ok("rm", name);
  });

  test("has a terminal that follows the window's size", async () => {
    const options = { env: podman.env, rows: 33, columns: 99 };
    await using session = new TerminalSession(podman.argv(...run(["--rm", "-it"], "sh")), options);
    await session.expect("# ");
    session.type("tty; test -c /dev/console && until stty size | grep '^33 99'; do sleep 0.05; done\n");
    await session.expect(/\/dev\/(pts\/0|console)\r\n/);
    await session.expect(/33 99\r\n/);
    session.type("until stty size | grep '^20 50'; do sleep 0.05; done; exit 4\n");
    await session.resizeUntilTold({ rows: 20, columns: 50 });
    expect(await session.end()).toBe(4);
  });

  test("is entered with exec, at a terminal as well", async () => {
    await using box = await running();
    const exec = (...words: string[]) => podman.run(["exec", ...words]);
    const result = await exec(box.id, "sh", "-c", "echo in; echo err >&2; exit 3");
    expect(result).toEqual({ status: 3, stdout: "in\n", stderr: "err\n" });
    const script = 'cat; id -un; echo "$A"; pwd';
    const flags = ["-i", "-u", "alice", "-e", "A=b", "-w", "/tmp"];
    const piped = await podman.run(["exec", ...flags, box.id, "sh", "-c", script], { stdin: "x\n" });
    expect(piped).toEqual({ status: 0, stdout: "x\nalice\nb\n/tmp\n", stderr: "" });
    const missing = await exec(box.id, "nope");
    expect([missing.status, missing.stderr]).toEqual([127, expect.stringMatching(/"nope": executable file not found/)]);
    expect((await exec(box.id, "/etc/not-executable")).status).toBe(126);
    await podman.ok("exec", "-d", box.id, "touch", "/tmp/done");
    await podman.says("/tmp/done", "exec", box.id, "ls", "/tmp/done");
    const options = { env: podman.env, rows: 33, columns: 99 };
    await using session = new TerminalSession(podman.argv("exec", "-it", box.id, "sh"), options);
    await session.expect("# ");
    session.type("until stty size | grep '^33 99'; do sleep 0.05; done; exit 6\n");
    await session.expect(/33 99\r\n/);
    expect(await session.end()).toBe(6);
  });

  test("is paused, resumed and updated", async () => {
    await using box = await running(["--memory", "32m", "--memory-swap", "32m"]);
    await podman.ok("pause", box.id);
    expect(await stateOf(box.id)).toBe("paused 0");
    expect((await podman.run(["exec", box.id, "true"])).status).not.toBe(0);
    await podman.ok("unpause", box.id);
    expect(await stateOf(box.id)).toBe("running 0");
    await podman.ok(
      "update",
      "--memory",
      "64m",
      "--memory-swap",
      "128m",
      "--cpus",
      "0.5",
      "--cpuset-cpus",
      "0",
      box.id,
    );
    const files = isV1
      ? "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpuset/cpuset.cpus"
      : "memory.max memory.swap.max cpu.max cpuset.cpus";
    const values = await podman.ok("exec", box.id, "sh", "-c", `cd /sys/fs/cgroup; cat ${files}`);
    expect(values.split("\n")).toEqual(
      isV1 ? ["67108864", "134217728", "50000", "0"] : ["67108864", "67108864", "50000 100000", "0"],
    );
    const stats = await podman.ok("stats", "--no-stream", "--no-reset", "--format", "{{.PIDs}} {{.MemUsage}}", box.id);
    // The limit is the one that podman was told at first.
    expect(stats).toMatch(/^1 [\d.]+[kM]B \/ 33\.55MB$/);
    expect(await podman.ok("top", box.id, "pid", "args")).toMatch(/^PID +COMMAND\n1 +sleep 1000 *$/);
  });

  test("is stopped, restarted, signalled and removed", async () => {
    const script = "trap 'exit 5' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done";
    await using box = await running([], "sh", "-c", script);
    await podman.says("ready", "logs", box.id);
    await podman.ok("kill", "--signal", "USR1", box.id);
    await podman.says("ready\nusr1", "logs", box.id);
    await podman.ok("stop", box.id);
    expect(await stateOf(box.id)).toBe("exited 5");
    await podman.ok("start", box.id);
    await podman.says(/ready\nusr1\nready/, "logs", box.id);
    await podman.ok("restart", "-t", "0", box.id);
    expect(await stateOf(box.id)).toBe("running 0");
    expect((await podman.run(["rm", box.id])).status).toBe(2);
  });

  test("is healthy when its check says so", async () => {
    await using box = await running([
      "--health-cmd",
      "cat /tmp/well",
      "--health-interval",
      "disable",
      "--health-retries",
      "1",
    ]);
    expect((await podman.run(["healthcheck", "run", box.id])).status).toBe(1);
    expect(await inspect(".State.Health.Status", box.id)).toBe("unhealthy");
    await podman.ok("exec", box.id, "touch", "/tmp/well");
    await podman.ok("healthcheck", "run", box.id);
    expect(await inspect(".State.Health.Status", box.id)).toBe("healthy");
  });

  /** Whether OOMKilled says so is conmon's doing: 2.1.6 does not see it in cgroup v1, under runc either. */
  test("that needs more memory than it may is killed", async () => {
    await using box = await running(
      ["--memory", "16m", "--memory-swap", "16m"],
      "sh",
      "-c",
      "x=x; while :; do x=$x$x; done",
    );
    expect(await podman.ok("wait", box.id)).toBe("137");
  });

  test("is started again by its policy", async () => {
    await using box = await running(["--restart", "on-failure:1"], "sh", "-c", "exit 3");
    await podman.says(
      "1 exited 3",
      "inspect",
      "--format",
      "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}",
      box.id,
    );
  });

  test("is in a pod, with an address on the bridge", async () => {
    const name = `pod-${runtime}`;
    const infra = ["--infra-image", podman.image, "--infra-command", "sleep 1000"];
    await podman.ok(...argv("pod", "create", "--cgroup-parent", workspace.cgroupParent, ...infra, "--name", name));
    try {
      const words = ["sh", "-c", "echo page > /tmp/index.html; exec httpd -f -h /tmp"];
      await podman.ok(...argv("run", "-d", "--pod", name, podman.image, ...words));
      const fetch = argv("run", "--rm", "--pod", name, podman.image, "wget", "-qO-", "127.0.0.1");
      await until("its neighbour is served", async () => (await podman.run(fetch)).stdout === "page\n");
      const status = ["pod", "ps", "--filter", `name=${name}`, "--format", "{{.Status}} {{.NumberOfContainers}}"];
      expect(await podman.ok(...status)).toBe("Running 2");
      await podman.ok("pod", "pause", name);
      expect(await podman.ok(...status)).toBe("Paused 2");
      await podman.ok("pod", "unpause", name);
      await podman.ok("pod", "stop", "-t", "0", name);
      expect(await podman.ok(...status)).toBe("Exited 2");
    } finally {
      await podman.ok("pod", "rm", "-f", "-t", "0", name);
    }
  });
});
