/** exec, terminals, descriptors and hooks on the real kernel. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { F_SETFL, O_NONBLOCK, O_RDWR } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { fcntl, read, write } from "../../ffi/files.ts";
import { POLLIN, waitReady } from "../../ffi/poll.ts";
import { openTerminal, setWindowSize } from "../../ffi/pty.ts";
import { acceptUnix, listenUnix, receiveDescriptors } from "../../ffi/scm.ts";
import type { OciProcess } from "../oci/runtime.ts";
import { TestBundles } from "./testing/bundle.ts";
import { fail, runtime, runtimeCommand, succeed } from "./testing/runtime.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

const isRoot = process.getuid?.() === 0;
let bundles: TestBundles;
let root: string;
beforeEach(() => {
  bundles = new TestBundles();
  root = bundles.root;
});
afterEach(async () => {
  for (const id of existsSync(root) ? readdirSync(root) : []) {
    if (!id.startsWith(".")) await succeed(root, "delete", "--force", id);
  }
  bundles[Symbol.dispose]();
});

/** Starts a container that sleeps. */
async function sleeping(id = "c1"): Promise<void> {
  await succeed(root, "run", "--detach", "-b", bundles.make(["sleep", "600"]), id);
}

function expectText(terminal: Fd, text: string): string {
  let seen = "";
  const buffer = new Uint8Array(4096);
  const deadline = performance.now() + 5000;
  while (!seen.includes(text)) {
    if (!waitReady(terminal, POLLIN, deadline - performance.now())) throw new Error(`no ${text} in ${seen}`);
    seen += Buffer.from(buffer.subarray(0, read(terminal, buffer))).toString();
  }
  return seen;
}

describe.skipIf(!isRoot)("exec", () => {
  test("runs a command in the container, and ends with its status", async () => {
    await sleeping();
    expect(await runtime(root, "exec", "c1", "sh", "-c", "echo -e out; echo err >&2; exit 5")).toEqual({
      status: 5,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect((await runtime(root, "exec", "c1", "sh", "-c", "kill -9 $$")).status).toBe(137);
    expect(await succeed(root, "exec", "c1", "hostname")).toBe("tsd\n");
    const processes = await succeed(root, "exec", "c1", "ps", "-o", "pid,args");
    expect(processes).toMatch(/^ +1 sleep 600$/m);
  });
  test("is in the container's namespaces, cgroup and root", async () => {
    await sleeping();
    const [init] = JSON.parse(await succeed(root, "list", "-f", "json")) as { pid: number }[];
    for (const name of ["mnt", "pid", "net", "uts", "ipc"]) {
      const outside = Bun.spawnSync(["readlink", `/proc/${init!.pid}/ns/${name}`]).stdout.toString();
      expect(await succeed(root, "exec", "c1", "readlink", `/proc/self/ns/${name}`)).toBe(outside);
    }
    const cgroup = readFileSync(`/proc/${init!.pid}/cgroup`, "utf8");
    expect(await succeed(root, "exec", "c1", "cat", "/proc/self/cgroup")).toBe(cgroup);
    expect(await succeed(root, "exec", "c1", "ls", "/proc/self/fd")).toBe("0\n1\n2\n3\n");
  });
  test("changes the process as its flags say", async () => {
    await sleeping();
    const words = ["--cwd", "/tmp", "-e", "A=1", "--env", "B=2", "-u", "1000:7", "-g", "8", "-g", "9"];
    expect(await succeed(root, "exec", ...words, "c1", "sh", "-c", 'pwd; echo "$A $B $HOME"; id')).toBe(
      "/tmp\n1 2 /home/user\nuid=1000(user) gid=7 groups=8,9\n",
    );
    const capabilities = await succeed(
      root,
      "exec",
      "--cap",
      "CAP_NET_RAW",
      "c1",
      "grep",
      "CapEff",
      "/proc/self/status",
    );
    expect(capabilities.trim()).toBe("CapEff:\t0000000020002420");
    expect(await fail(root, "exec", "-u", "user", "c1", "id")).toContain("--user user: not of the form <uid>[:<gid>]");
  });
  test("runs what process.json says", async () => {
    await sleeping();
    const file = join(bundles.directory, "process.json");
    const process: OciProcess = { cwd: "/etc", args: ["sh", "-c", "pwd; env; exit 6"], env: ["PATH=/bin", "X=y"] };
    writeFileSync(file, JSON.stringify(process));
    const { status, stdout } = await runtime(root, "exec", "--process", file, "c1");
    expect(status).toBe(6);
    expect(stdout).toContain("/etc\n");
    expect(stdout).toContain("X=y\n");
    writeFileSync(file, JSON.stringify({ ...process, user: { uid: -1 } }));
    expect(await fail(root, "exec", "--process", file, "c1")).toContain("process.json: user.uid: ");
    expect(await fail(root, "exec", "--process", "/no/such", "c1")).toContain("/no/such");
    expect(await fail(root, "exec", "c1")).toContain("no command");
  });
  test("detaches, writes a pid file, and leaves the process in the container", async () => {
    await sleeping();
    const pidFile = join(bundles.directory, "pid");
    await succeed(root, "exec", "--detach", "--pid-file", pidFile, "c1", "sleep", "500");
    expect(readFileSync(`/proc/${readFileSync(pidFile, "utf8")}/cmdline`, "utf8")).toBe("sleep\x00500\0");
    await succeed(root, "delete", "--force", "c1");
    expect(existsSync(`/proc/${readFileSync(pidFile, "utf8")}/cmdline`)).toBe(false);
  });
  test("fails with 255 and the reason when the command cannot be executed", async () => {
    await sleeping();
    for (const [command, message] of [
      ["nosuch", 'exec failed: exec: "nosuch": executable file not found in $PATH'],
      ["/etc/not-executable", 'exec failed: exec: "/etc/not-executable": permission denied'],
      ["/etc", 'exec failed: exec: "/etc": permission denied'],
    ] as const) {
      expect(await fail(root, "exec", "c1", command)).toBe(message);
      expect((await runtime(root, "exec", "c1", command)).status).toBe(255);
    }
    expect(await succeed(root, "exec", "c1", "ps", "-o", "args")).not.toContain("tsd-init");
  });
  test("passes signals on", async () => {
    await sleeping();
    const script = "trap 'echo got; exit 3' HUP; echo ready; while :; do sleep 0.02; done";
    const child = Bun.spawn(runtimeCommand(root, ["exec", "c1", "sh", "-c", script]), {
      stdin: "ignore",
      stdout: "pipe",
    });
    let text = "";
    for await (const chunk of child.stdout) {
      text += Buffer.from(chunk).toString();
      if (text === "ready\n") child.kill("SIGHUP");
    }
    expect(text).toBe("ready\ngot\n");
    expect(await child.exited).toBe(3);
  });
  test("works in a container that waits for start", async () => {
    await succeed(root, "create", "-b", bundles.make(["sleep", "600"]), "c1");
    expect(await succeed(root, "exec", "c1", "hostname")).toBe("tsd\n");
  });
  test("of many at once all arrive", async () => {
    await sleeping();
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, n) => runtime(root, "exec", "c1", "sh", "-c", `exit ${n}`)),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe.skipIf(!isRoot)("a terminal", () => {
  test("of run -t in the foreground is passed through", async () => {
    const { master, slave } = openTerminal();
    using _master = master;
    using outer = slave;
    fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    setWindowSize(master, { rows: 33, columns: 77 });
    const bundle = bundles.make(["sh"], (config) => {
      config.process!.terminal = true;
      config.process!.env!.push("PS1=> ");
    });
    const child = Bun.spawn(runtimeCommand(root, ["run", "-b", bundle, "c1"]), {
      stdio: [outer.number, outer.number, 2],
    });
    expectText(master, "> ");
    write(master, "tty; stty size; echo $((6*7))\r");
    const seen = expectText(master, "42");
    expect(seen).toContain("/dev/pts/0\r\n");
    expect(seen).toContain("33 77\r\n");
    write(master, "sleep 60\r");
    await Bun.sleep(100);
    write(master, "\x03");
    expectText(master, "> ");
    write(master, "exit 9\r");
    expect(await child.exited).toBe(9);
  });
  test("of exec -t is one of the container's own", async () => {
    await sleeping();
    const child = Bun.spawn(runtimeCommand(root, ["exec", "-t", "c1", "sh", "-c", "tty; ls /dev/pts; exit 4"]), {
      stdin: "ignore",
      stdout: "pipe",
    });
    expect(await new Response(child.stdout).text()).toBe("/dev/pts/0\r\n0     ptmx\r\n");
    expect(await child.exited).toBe(4);
  });
  test("goes to the console socket of a detached run, create and exec", async () => {
    const path = join(bundles.directory, "console.sock");
    using listener = listenUnix(path);
    const bundle = bundles.make(["sh", "-c", "echo from $(tty); sleep 600"], (config) => {
      config.process!.terminal = true;
      config.process!.consoleSize = { height: 11, width: 22 };
    });
    const receive = (): Fd => {
      using connection = acceptUnix(listener);
      const { data, descriptors } = receiveDescriptors(connection);
      expect(Buffer.from(data).toString()).toBe("/dev/ptmx");
      expect(descriptors.length).toBe(1);
      return descriptors[0]!;
    };
    await succeed(root, "create", "--console-socket", path, "-b", bundle, "c1");
    using console = receive();
    await succeed(root, "start", "c1");
    expectText(console, "from /dev/pts/0");
    await succeed(
      root,
      "exec",
      "-d",
      "-t",
      "--console-socket",
      path,
      "c1",
      "sh",
      "-c",
      "echo exec on $(tty); sleep 600",
    );
    using another = receive();
    expectText(another, "exec on /dev/pts/1");
    expect(await fail(root, "create", "-b", bundle, "c2")).toContain("cannot allocate tty");
    expect(await fail(root, "run", "--console-socket", path, "-b", bundle, "c2")).toContain(
      "cannot use console socket",
    );
    expect(await fail(root, "create", "--console-socket", `${path}.no`, "-b", bundle, "c2")).toContain(
      "console socket: ",
    );
    expect(existsSync(join(root, "c2"))).toBe(false);
  });
});

describe.skipIf(!isRoot)("preserved descriptors", () => {
  test("keep their number in the container, and must be there", async () => {
    const bundle = bundles.make(["sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd"]);
    const [three, four] = [join(bundles.directory, "three"), join(bundles.directory, "four")];
    writeFileSync(three, "three\n");
    writeFileSync(four, "four\n");
    const open = `exec 3<${three} 4<${four}; exec "$@"`;
    const run = (count: number) =>
      Bun.spawnSync([
        "sh",
        "-c",
        open,
        "sh",
        ...runtimeCommand(root, ["run", "--preserve-fds", `${count}`, "-b", bundle, "c1"]),
      ]);
    expect(run(2).stdout.toString()).toBe("three\nfour\n0\n1\n2\n3\n4\n5\n");
    expect(run(3).stderr.toString()).toContain("preserved descriptor 5 (of 3 to 5) is not open");
    expect(await fail(root, "run", "--preserve-fds", "1", "-b", bundle, "c1")).toContain("preserved descriptor 3");
  });
});

describe.skipIf(!isRoot)("hooks", () => {
  test("run where the specification says, with the state they are owed", async () => {
    const log = join(bundles.directory, "log");
    mkdirSync(log);
    const bundle = bundles.make(["sh", "-c", "sleep 600"], (config) => {
      const hook = (name: string) => [
        { path: "/bin/sh", args: ["sh", "-c", `cat > ${log}/${name}; date +%s%N >> ${log}/${name}`] },
      ];
      config.hooks = {
        prestart: hook("prestart"),
        createRuntime: hook("createRuntime"),
        poststart: hook("poststart"),
        poststop: hook("poststop"),
      };
    });
    await succeed(root, "create", "-b", bundle, "c1");
    const { pid } = JSON.parse(await succeed(root, "state", "c1"));
    expect(readdirSync(log).sort()).toEqual(["createRuntime", "prestart"]);
    await succeed(root, "start", "c1");
    expect(readdirSync(log).sort()).toEqual(["createRuntime", "poststart", "prestart"]);
    await succeed(root, "delete", "--force", "c1");
    const seen = Object.fromEntries(
      ["prestart", "createRuntime", "poststart", "poststop"].map((name) => {
        const [, json, time] = /^(\{.*\})(\d+)\n$/s.exec(readFileSync(join(log, name), "utf8"))!;
        return [name, { ...JSON.parse(json!), time: BigInt(time!) }];
      }),
    );
    expect(seen.prestart).toMatchObject({ id: "c1", pid, status: "creating", bundle, ociVersion: "1.3.0" });
    expect(seen.createRuntime).toMatchObject({ pid, status: "creating" });
    expect(seen.poststart).toMatchObject({ pid, status: "running" });
    expect(seen.poststop).toMatchObject({ status: "stopped" });
    expect(seen.prestart.time < seen.createRuntime.time).toBe(true);
  });
  test("run around a container in the foreground, too", async () => {
    const log = join(bundles.directory, "log");
    const bundle = bundles.make(["sh", "-c", "exit 8"], (config) => {
      const hook = (name: string) => [{ path: "/bin/sh", args: ["sh", "-c", `echo ${name} >> ${log}`] }];
      config.hooks = {
        createRuntime: hook("createRuntime"),
        poststart: hook("poststart"),
        poststop: hook("poststop"),
      };
    });
    expect((await runtime(root, "run", "-b", bundle, "c1")).status).toBe(8);
    expect(readFileSync(log, "utf8")).toBe("createRuntime\npoststart\npoststop\n");
  });
  test("that fail before the start undo the container, and after it kill it", async () => {
    const failing = [{ path: "/bin/sh", args: ["sh", "-c", "echo no >&2; exit 1"] }];
    for (const name of ["prestart", "createRuntime"] as const) {
      const bundle = bundles.make(["sleep", "600"], (config) => {
        config.hooks = { [name]: failing };
      });
      expect(await fail(root, "create", "-b", bundle, "c1")).toBe(`hooks.${name}[0] /bin/sh: exit status 1: no`);
      expect(existsSync(join(root, "c1"))).toBe(false);
    }
    const bundle = bundles.make(["sleep", "600"], (config) => {
      config.hooks = { poststart: failing, poststop: failing };
    });
    expect(await fail(root, "run", "-d", "-b", bundle, "c1")).toContain(
      "hooks.poststart[0] /bin/sh: exit status 1: no",
    );
    expect(existsSync(join(root, "c1"))).toBe(false);
    await succeed(root, "create", "-b", bundle, "c1");
    expect(await fail(root, "start", "c1")).toContain("was killed: hooks.poststart[0]");
    const { status, stderr } = await runtime(root, "delete", "c1");
    expect(status).toBe(0);
    expect(stderr).toContain("level=warning msg=");
    expect(stderr).toContain("hooks.poststop[0] /bin/sh: exit status 1: no");
  });
});

describe.skipIf(!isRoot)("explain", () => {
  test("prints the calls of a bundle and runs nothing", async () => {
    const bundle = bundles.make(["true"]);
    const text = await succeed(root, "explain", bundle);
    expect(text).toContain("pivot_root");
    expect(text).toContain('execve("/bin/true"');
    const plan = JSON.parse(await succeed(root, "explain", "--format", "json", bundle));
    expect(plan.records.at(-1).call).toBe("exit_group");
    expect(existsSync(root)).toBe(false);
    expect(await fail(root, "explain", "--format", "xml", bundle)).toBe("invalid format option");
    expect(await fail(root, "explain", "/no/bundle")).toContain("/no/bundle: no such directory");
  });
});
