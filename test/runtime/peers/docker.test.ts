/** dockerd runs containers with tsd-runc, its default runtime here, as it does with runc. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../../harness/command.ts";
import { type Peer, runtimes, startDockerd } from "../../harness/peers.ts";
import { TerminalSession } from "../../harness/terminal.ts";
import { Workspace } from "../../harness/workspace.ts";

let workspace: Workspace;
let docker: Peer;

beforeAll(async () => {
  workspace = await Workspace.open();
  docker = await startDockerd(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose](), 30_000);

const isV1 = await Bun.file("/sys/fs/cgroup/memory/cgroup.procs").exists();
const inspect = (format: string, id: string) => docker.ok("inspect", "--format", `{{${format}}}`, id);

test("the default runtime is the one that daemon.json names", async () => {
  expect(await docker.ok("info", "--format", "{{.DefaultRuntime}}")).toBe("tsd-runc");
  const id = await docker.ok("create", docker.image);
  expect(await inspect(".HostConfig.Runtime", id)).toBe("tsd-runc");
  await docker.ok("rm", id);
});

describe.each(runtimes)("with %s a container", (runtime) => {
  const run = (flags: string[], ...args: string[]) => {
    const network = flags.includes("--network") ? [] : ["--network", "none"];
    return ["run", "--runtime", runtime, ...network, ...flags, docker.image, ...args];
  };
  const shell = (flags: string[], script: string) => docker.run(run(["--rm", ...flags], "sh", "-c", script));
  /** A container that runs until the test ends. */
  const running = async (flags: string[] = [], ...args: string[]) => {
    const id = await docker.ok(...run(["-d", ...flags], ...(args.length > 0 ? args : ["sleep", "1000"])));
    return {
      id,
      [Symbol.asyncDispose]: async () => {
        await docker.ok("rm", "-f", id);
      },
    };
  };
  const stateOf = (id: string) => inspect(".State.Status}} {{.State.ExitCode", id);

  test("ends with its status, or 128 and the signal that ended it", async () => {
    const result = await shell([], "echo out; echo err >&2; exit 7");
    expect(result).toEqual({ status: 7, stdout: "out\n", stderr: "err\n" });
    expect((await shell(["--init"], "kill -9 $$")).status).toBe(137);
    await using killed = await running();
    await docker.ok("kill", killed.id);
    expect(await docker.ok("wait", killed.id)).toBe("137");
  });

  test("has 127 and 126 for a command that is not there, or not executable, and leaves nothing", async () => {
    const missing = await docker.run(run(["--rm"], "nope"));
    expect([missing.status, missing.stderr]).toEqual([127, expect.stringMatching(/"nope": executable file not found/)]);
    const text = await docker.run(run(["--rm"], "/etc/not-executable"));
    expect([text.status, text.stderr]).toEqual([126, expect.stringMatching(/not-executable": permission denied/)]);
    const absent = await docker.run(run(["--rm"], "/no/such"));
    expect([absent.status, absent.stderr]).toEqual([127, expect.stringMatching(/no such file or directory/)]);
    expect(await docker.ok("ps", "-aq")).toBe("");
  });

  test("that cannot be made is refused with the runtime's own reason", async () => {
    const wrong = await docker.run(run(["--rm", "--sysctl", "net.ipv4.nope=1"], "true"));
    expect([wrong.status, wrong.stderr]).toEqual([127, expect.stringMatching(/OCI runtime create failed: .*nope/)]);
    const file = await docker.run(run(["--rm", "-v", "/etc:/etc/passwd"], "true"));
    expect([file.status, file.stderr]).toEqual([125, expect.stringMatching(/mount a directory onto a file/)]);
  });

  test("is who it is told to be, with no more than it is given", async () => {
    const flags = ["-u", "alice", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "--hostname", "named"];
    flags.push("--security-opt", "no-new-privileges", "--ulimit", "nofile=77:88", "--sysctl", "net.ipv4.ip_forward=0");
    const script =
      "id; hostname; ulimit -n; cat /proc/sys/net/ipv4/ip_forward; grep -E 'CapBnd|NoNew|Seccomp:' /proc/self/status";
    const { stdout, stderr } = await shell(flags, script);
    expect([stdout.replaceAll("\t", " "), stderr]).toEqual([
      "uid=1000(alice) gid=1000(alice) groups=29(audio),100(users),1000(alice)\nnamed\n77\n0\nCapBnd: 0000000000002000\nNoNewPrivs: 1\nSeccomp: 2\n",
      "",
    ]);
  });

  test("has its volumes, tmpfs and devices, and a root that can be read-only", async () => {
    const flags = ["--read-only", "--tmpfs", "/tmp:size=1m", "-v", "/etc/passwd:/given:ro", "-v", "/kept"];
    flags.push("--device", "/dev/kmsg:/dev/nought:r", "--shm-size", "5m");
    const script = `touch /x; touch /tmp/x /kept/x && echo writable; (: > /given); stat -c %t:%T /dev/nought
      (: > /dev/nought); df -k /dev/shm | tail -1 | awk '{ print $2 }'; grep -c ^root: /given`;
    const { stdout, stderr } = await shell(flags, script);
    expect(stdout).toBe("writable\n1:b\n5120\n1\n");
    expect(stderr.match(/\/\w+: (Read-only file system|Operation not permitted)/g)).toEqual([
      "/x: Read-only file system",
      "/given: Read-only file system",
      "/nought: Operation not permitted",
    ]);
  });

  test("has an address on the bridge, and answers there", async () => {
    const flags = ["--network", "bridge"];
    await using server = await running(flags, "sh", "-c", "echo page > /tmp/index.html; exec httpd -f -h /tmp");
    const address = await inspect(".NetworkSettings.IPAddress", server.id);
    expect(await docker.ok("exec", server.id, "ip", "-o", "-4", "address", "show", "eth0")).toContain(` ${address}/`);
    await until("the page is served", async () => (await workspace.run(["curl", "-s", address])).stdout === "page\n");
  });

  test("reads standard input to its end, and its logs are kept", async () => {
    const script = ["sh", "-c", "cat; echo end; echo err >&2"];
    const piped = await docker.run(run(["-i", "--name", "piped"], ...script), { stdin: "one\ntwo\n" });
    expect(piped).toEqual({ status: 0, stdout: "one\ntwo\nend\n", stderr: "err\n" });
    expect(await docker.run(["logs", "piped"])).toMatchObject({ stdout: "one\ntwo\nend\n", stderr: "err\n" });
    await docker.ok("rm", "piped");
  });

  test("has a terminal that follows the window's size, in exec as well", async () => {
    const options = { env: docker.env, rows: 33, columns: 99 };
    await using session = new TerminalSession(
      docker.argv(...run(["--rm", "-it", "--name", "terminal"], "sh")),
      options,
    );
    await session.expect("# ");
    session.type("tty; test -c /dev/console && until stty size | grep '^20 50'; do sleep 0.05; done\n");
    await session.expect(/\/dev\/(pts\/0|console)\r\n/);
    await session.resizeUntilTold({ rows: 20, columns: 50 });
    await using inside = new TerminalSession(docker.argv("exec", "-it", "terminal", "sh"), options);
    await inside.expect("# ");
    inside.type("until stty size | grep '^21 51'; do sleep 0.05; done; exit 6\n");
    await inside.resizeUntilTold({ rows: 21, columns: 51 });
    expect(await inside.end()).toBe(6);
    session.type("exit 4\n");
    expect(await session.end()).toBe(4);
  });

  test("is entered with exec", async () => {
    await using box = await running();
    const exec = (...words: string[]) => docker.run(["exec", ...words]);
    const result = await exec(box.id, "sh", "-c", "echo in; echo err >&2; exit 3");
    expect(result).toEqual({ status: 3, stdout: "in\n", stderr: "err\n" });
    const script = 'cat; id -un; echo "$A"; pwd';
    const flags = ["-i", "-u", "alice", "-e", "A=b", "-w", "/tmp"];
    const piped = await docker.run(["exec", ...flags, box.id, "sh", "-c", script], { stdin: "x\n" });
    expect(piped).toEqual({ status: 0, stdout: "x\nalice\nb\n/tmp\n", stderr: "" });
    expect((await exec(box.id, "sh", "-c", "kill -9 $$")).status).toBe(137);
    // dockerd 20.10 has 126 for both.
    const refused = [
      await exec(box.id, "nope"),
      await exec(box.id, "/etc/not-executable"),
      await exec("-w", "/nowhere", box.id, "pwd"),
    ];
    expect(refused.map(({ status }) => status)).toEqual([126, 126, 126]);
    expect(refused.map(({ stdout, stderr }) => stdout + stderr)).toEqual([
      expect.stringMatching(/"nope": executable file not found/),
      expect.stringMatching(/not-executable": permission denied/),
      expect.stringMatching(/chdir.*\/nowhere.*no such file or directory/),
    ]);
    await docker.ok("exec", "-d", box.id, "touch", "/tmp/done");
    await docker.says("/tmp/done", "exec", box.id, "ls", "/tmp/done");
  });

  test("is paused and resumed", async () => {
    await using box = await running([], "sh", "-c", "while :; do echo tick; sleep 0.02; done");
    await docker.ok("pause", box.id);
    expect(await stateOf(box.id)).toBe("paused 0");
    expect((await docker.run(["exec", box.id, "true"])).status).not.toBe(0);
    expect((await docker.run(["pause", box.id])).stderr).toContain("already paused");
    await docker.ok("unpause", box.id);
    expect(await stateOf(box.id)).toBe("running 0");
    const ticks = (await docker.ok("logs", box.id)).length;
    await until("it ticks again", async () => (await docker.ok("logs", box.id)).length > ticks);
  });

  test("is updated", async () => {
    await using box = await running(["--memory", "32m", "--memory-swap", "32m"]);
    const limits = [
      "--memory",
      "64m",
      "--memory-swap",
      "128m",
      "--cpus",
      "0.5",
      "--pids-limit",
      "44",
      "--cpuset-cpus",
      "0",
    ];
    await docker.ok("update", ...limits, "--cpu-shares", "300", box.id);
    const files = isV1
      ? "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus"
      : "memory.max memory.swap.max cpu.max cpu.weight pids.max cpuset.cpus";
    const values = (await docker.ok("exec", box.id, "sh", "-c", `cd /sys/fs/cgroup; cat ${files}`)).split("\n");
    expect(values).toEqual(
      isV1
        ? ["67108864", "134217728", "50000", "300", "44", "0"]
        : ["67108864", "67108864", "50000 100000", "12", "44", "0"],
    );
  });

  test("has its processes and statistics told", async () => {
    await using box = await running(["--memory", "64m"]);
    const top = () => docker.ok("top", box.id, "-o", "pid,args");
    // runc's `start` is done a moment before its process is the program.
    await until("it is the program", async () => !(await top()).includes(" init"));
    expect(await top()).toMatch(/^PID +COMMAND\n\d+ +sleep 1000$/);
    await docker.says(
      /^1 [\d.]+[KM]iB \/ 64MiB$/,
      "stats",
      "--no-stream",
      "--format",
      "{{.PIDs}} {{.MemUsage}}",
      box.id,
    );
  });

  test("is stopped, restarted, signalled and removed", async () => {
    const script = "trap 'exit 5' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done";
    await using box = await running([], "sh", "-c", script);
    await docker.says("ready", "logs", box.id);
    await docker.ok("kill", "--signal", "USR1", box.id);
    await docker.says("ready\nusr1", "logs", box.id);
    await docker.ok("stop", box.id);
    expect(await stateOf(box.id)).toBe("exited 5");
    await docker.ok("start", box.id);
    await docker.says(/ready\nusr1\nready/, "logs", box.id);
    await docker.ok("restart", box.id);
    expect(await stateOf(box.id)).toBe("running 0");
    expect((await docker.run(["rm", box.id])).status).toBe(1);
  });

  test("that does not stop in time is killed", async () => {
    await using box = await running();
    await docker.ok("stop", "--time", "1", box.id);
    expect(await stateOf(box.id)).toBe("exited 137");
  });

  test("is healthy when its check says so", async () => {
    const flags = ["--health-cmd", "cat /tmp/well", "--health-interval", "100ms", "--health-retries", "1"];
    await using box = await running(flags);
    const health = ["inspect", "--format", "{{.State.Health.Status}}", box.id];
    await docker.says("unhealthy", ...health);
    await docker.ok("exec", box.id, "touch", "/tmp/well");
    await docker.says("healthy", ...health);
  });

  test("that needs more memory than it may is killed, and says why", async () => {
    const limits = ["--memory", "16m", "--memory-swap", "16m"];
    await using box = await running(limits, "sh", "-c", "x=x; while :; do x=$x$x; done");
    expect(await docker.ok("wait", box.id)).toBe("137");
    expect(await inspect(".State.OOMKilled", box.id)).toBe("true");
  });

  test("is started again by its policy", async () => {
    await using box = await running(["--restart", "on-failure:1"], "sh", "-c", "exit 3");
    await docker.says(
      "1 exited 3",
      "inspect",
      "--format",
      "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}",
      box.id,
    );
  });

  test("shares another's namespaces", async () => {
    await using box = await running(["--hostname", "first", "--ipc", "shareable"]);
    const shared = ["--network", `container:${box.id}`, "--pid", `container:${box.id}`, "--ipc", `container:${box.id}`];
    const argv = ["run", "--rm", "--runtime", runtime, ...shared, docker.image, "ps", "-o", "args"];
    expect(await docker.ok(...argv)).toBe("COMMAND\nsleep 1000\nps -o args");
  });
});
