/** The verbs on the real kernel: create, start, run, kill, delete, state, list. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isAlive, processStat } from "../../ffi/process.ts";
import type { TestBundles } from "./testing/bundle.ts";
import { fail, runtime, runtimeCommand, succeed } from "./testing/runtime.ts";
import { Scene } from "./testing/scene.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

const isRoot = process.getuid?.() === 0;
let scene: Scene;
let bundles: TestBundles;
let root: string;
beforeEach(() => {
  scene = new Scene();
  ({ bundles, root } = scene);
});
afterEach(async () => {
  expect(await scene.end()).toEqual([]);
});

/** ENXIO says that nobody has the fifo open for reading. */
async function openWhenRead(fifo: string): Promise<number> {
  for (;;) {
    try {
      return openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENXIO") throw error;
      await Bun.sleep(2);
    }
  }
}

describe.skipIf(!isRoot)("run", () => {
  test("shows what the program writes, ends with its status, and leaves nothing", async () => {
    const bundle = bundles.make(["sh", "-c", "echo hello; echo $HOME; pwd; echo oops >&2; exit 7"]);
    expect(await runtime(root, "run", "-b", bundle, "c1")).toEqual({
      status: 7,
      stdout: "hello\n/root\n/\n",
      stderr: "oops\n",
    });
    expect(scene.stateRoot()).toEqual([]);
  });
  test("ends with 128 and the signal of a program that was killed", async () => {
    const bundle = bundles.make(["sh", "-c", "sh -c 'kill -9 $$'; echo $?; kill -TERM $PPID; exit $?"]);
    expect((await runtime(root, "run", "-b", bundle, "c1")).stdout).toBe("137\n");
    const child = Bun.spawn(runtimeCommand(root, ["run", "-b", bundles.make(["sleep", "60"]), "c2"]), {
      stdin: "ignore",
    });
    while (!existsSync(join(root, "c2", "state.json"))) await Bun.sleep(5);
    await scene.waitForStatus("c2", "running");
    await succeed(root, "kill", "c2", "KILL");
    expect(await child.exited).toBe(137);
  });
  test("passes signals on", async () => {
    const bundle = bundles.make(["sh", "-c", "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.05; done"]);
    const child = Bun.spawn(runtimeCommand(root, ["run", "-b", bundle, "c1"]), { stdin: "ignore", stdout: "pipe" });
    let text = "";
    for await (const chunk of child.stdout) {
      text += Buffer.from(chunk).toString();
      if (text === "ready\n") child.kill("SIGUSR1");
    }
    expect(text).toBe("ready\ngot\n");
    expect(await child.exited).toBe(3);
  });
  test("gives the program standard input and no descriptor of the runtime's", async () => {
    const bundle = bundles.make(["sh", "-c", "cat; ls /proc/self/fd; env"]);
    const child = Bun.spawn(runtimeCommand(root, ["run", "-b", bundle, "c1"]), { stdin: "pipe", stdout: "pipe" });
    child.stdin.write("typed\n");
    child.stdin.end();
    const [typed, ...rest] = (await new Response(child.stdout).text()).split("\n");
    expect(typed).toBe("typed");
    // 3 is the directory that ls reads.
    expect(rest.slice(0, 4)).toEqual(["0", "1", "2", "3"]);
    expect(rest.slice(4).filter((line) => /TSD|BUN|NODE|LISTEN|NOTIFY/.test(line))).toEqual([]);
  });
  test("sets sysctls of a network namespace that it joins, and never the host's", async () => {
    const before = readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8");
    const joining = (path: string) =>
      bundles.make(["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"], (config) => {
        const others = config.linux!.namespaces!.filter(({ type }) => type !== "network");
        config.linux!.namespaces = [...others, { type: "network", path }];
        config.linux!.sysctl = { "net.ipv4.ip_unprivileged_port_start": "77" };
      });
    const holder = Bun.spawn(["unshare", "--net", "sleep", "60"]);
    try {
      while (readlinkSync(`/proc/${holder.pid}/ns/net`) === readlinkSync("/proc/self/ns/net")) await Bun.sleep(5);
      expect((await runtime(root, "run", "-b", joining(`/proc/${holder.pid}/ns/net`), "c1")).stdout).toBe("77\n");
    } finally {
      holder.kill("SIGKILL");
    }
    const refused = await runtime(root, "run", "-b", joining("/proc/self/ns/net"), "c2");
    expect(refused.stderr).toContain("not allowed in the host's network namespace");
    expect(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8")).toBe(before);
  });
  test("detaches, and keeps a container that is to be kept", async () => {
    await succeed(root, "run", "--detach", "-b", bundles.make(["sleep", "60"]), "c1");
    expect((await scene.stateOf("c1")).status).toBe("running");
    await succeed(root, "run", "--keep", "-b", bundles.make(["true"]), "c2");
    expect((await scene.stateOf("c2")).status).toBe("stopped");
  });
  test("reaps what the container leaves behind", async () => {
    const bundle = bundles.make(["sh", "-c", "sleep 0.1 & sleep 0.2; exit 4"], (config) => {
      config.linux!.namespaces = config.linux!.namespaces!.filter(({ type }) => type !== "pid");
    });
    expect((await runtime(root, "run", "-b", bundle, "c1")).status).toBe(4);
    const again = bundles.make(["sh", "-c", "sleep 60 & exit 5"], (config) => {
      config.linux!.namespaces = config.linux!.namespaces!.filter(({ type }) => type !== "pid");
    });
    expect((await runtime(root, "run", "-b", again, "c2")).status).toBe(5);
  });
});

describe.skipIf(!isRoot)("create", () => {
  test("makes a container that waits, start lets it go, delete takes it away", async () => {
    const bundle = bundles.make(["sh", "-c", "echo started; exec sleep 60"], (config) => {
      config.annotations = { "org.example.key": "value" };
    });
    const pidFile = join(bundles.directory, "pid");
    await succeed(root, "create", "--pid-file", pidFile, "-b", bundle, "c1");
    const created = await scene.stateOf("c1");
    expect(created).toEqual({
      ociVersion: "1.3.0",
      id: "c1",
      pid: Number(readFileSync(pidFile, "utf8")),
      status: "created",
      bundle,
      rootfs: join(bundle, "rootfs"),
      created: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      annotations: { "org.example.key": "value" },
      owner: "",
    });
    expect(existsSync(join(root, "c1", "exec.fifo"))).toBe(true);
    await succeed(root, "start", "c1");
    expect(await scene.stateOf("c1")).toEqual({ ...created, status: "running" });
    expect(existsSync(join(root, "c1", "exec.fifo"))).toBe(false);
    expect(readFileSync(`/proc/${created.pid}/cmdline`, "utf8")).toBe("sleep\x0060\0");
    expect(await fail(root, "start", "c1")).toContain("cannot start an already running container");
    expect(await fail(root, "delete", "c1")).toContain("cannot delete container c1 that is not stopped: running");
    await succeed(root, "kill", "c1", "KILL");
    await scene.waitForStatus("c1", "stopped");
    expect(await scene.stateOf("c1")).toEqual({ ...created, pid: 0, status: "stopped" });
    expect(await fail(root, "start", "c1")).toContain("cannot start a container that has stopped");
    expect(await fail(root, "kill", "c1")).toContain("container not running");
    expect(await fail(root, "exec", "c1", "true")).toContain("cannot exec in a stopped container");
    await succeed(root, "delete", "c1");
    expect(scene.stateRoot()).toEqual([]);
    expect(await fail(root, "state", "c1")).toBe("container c1 does not exist");
  });
  test("is undone by delete while the container waits, and by delete --force while it runs", async () => {
    const bundle = bundles.make(["sleep", "60"]);
    for (const start of [false, true]) {
      await succeed(root, "create", "-b", bundle, "c1");
      if (start) await succeed(root, "start", "c1");
      const { pid } = await scene.stateOf("c1");
      const identity = processStat(pid)!;
      await succeed(root, "delete", ...(start ? ["--force"] : []), "c1");
      expect(isAlive(identity)).toBe(false);
      expect(scene.stateRoot()).toEqual([]);
    }
  });
  test("refuses an id that is taken, and leaves its owner alone", async () => {
    const bundle = bundles.make(["sleep", "60"]);
    await succeed(root, "create", "-b", bundle, "c1");
    const other = bundles.make(["sleep", "60"]);
    expect(await fail(root, "create", "-b", other, "c1")).toBe("container with id c1 already exists");
    expect((await scene.stateOf("c1")).status).toBe("created");
  });
  test("refuses a cgroup that has processes, and leaves them alone", async () => {
    const bundle = bundles.make(["sleep", "60"]);
    await succeed(root, "run", "-d", "-b", bundle, "c1");
    expect(await fail(root, "run", "-b", bundle, "c2")).toContain("is not empty: 1 process(es) found");
    expect((await scene.stateOf("c1")).status).toBe("running");
    expect(scene.stateRoot()).toEqual(["c1"]);
  });
  test("is started once, however many try", async () => {
    await succeed(root, "create", "-b", bundles.make(["sleep", "60"]), "c1");
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => runtime(root, "start", "c1")));
    expect(outcomes.map(({ status }) => status).sort()).toEqual([0, 1, 1, 1]);
    expect((await scene.stateOf("c1")).status).toBe("running");
  });
  test("whose program turns out not to run says so at the start, and is stopped then", async () => {
    const cases: [string, Parameters<TestBundles["make"]>[1], string][] = [
      ["no format", undefined, 'exec: "/bin/program": exec format error'],
      ["#!/no/interpreter", undefined, 'exec: "/bin/program": stat /bin/program: no such file or directory'],
      [
        "#!/bin/true",
        (config) => {
          config.hooks = { startContainer: [{ path: "/bin/false" }] };
        },
        "hooks.startContainer[0] /bin/false: failed",
      ],
    ];
    for (const [content, change, message] of cases) {
      const bundle = bundles.make(["/bin/program"], change);
      writeFileSync(join(bundle, "rootfs", "bin", "program"), content, { mode: 0o755 });
      await succeed(root, "create", "-b", bundle, "c1");
      expect(await fail(root, "start", "c1")).toBe(message);
      await scene.waitForStatus("c1", "stopped");
      await succeed(root, "delete", "c1");
      // Without the wait it is the same, but for the hook, whose status is there to be told.
      expect(await fail(root, "run", "-b", bundle, "c1")).toStartWith(message.replace("failed", "exit status 1"));
    }
  });
  test("whose process is killed while it passes the fifo has stopped, and start says so", async () => {
    await succeed(root, "create", "-b", bundles.make(["true"]), "c1");
    const { pid } = await scene.stateOf("c1");
    process.kill(pid, "SIGSTOP");
    const started = fail(root, "start", "c1");
    // In its place: opens the fifo as soon as there is a reader, and writes nothing.
    closeSync(await openWhenRead(join(root, "c1", "exec.fifo")));
    process.kill(pid, "SIGKILL");
    expect(await started).toBe("container c1: cannot start a container that has stopped");
  });
  test("survives a process that dies before it is started", async () => {
    await succeed(root, "create", "-b", bundles.make(["sleep", "60"]), "c1");
    await succeed(root, "kill", "c1", "KILL");
    await scene.waitForStatus("c1", "stopped");
    expect(await fail(root, "start", "c1")).toContain("cannot start a container that has stopped");
    await succeed(root, "delete", "c1");
  });
});

describe.skipIf(!isRoot)("list", () => {
  test("shows all containers of the root, as a table, as ids, and as JSON", async () => {
    const bundle = bundles.make(["sleep", "60"]);
    await succeed(root, "create", "-b", bundle, "first");
    await succeed(root, "run", "-d", "-b", bundles.make(["sleep", "60"]), "second");
    expect(await succeed(root, "list", "-q")).toBe("first\nsecond\n");
    const views = JSON.parse(await succeed(root, "list", "-f", "json"));
    expect(views).toMatchObject([
      { id: "first", status: "created", bundle, owner: "root" },
      { id: "second", status: "running" },
    ]);
    const [header, first] = (await succeed(root, "list")).split("\n");
    expect(header).toMatch(/^ID +PID +STATUS +BUNDLE +CREATED +OWNER$/);
    expect(first).toMatch(new RegExp(`^first +${views[0].pid} +created +${bundle} +\\S+ +root$`));
  });
});

describe("list", () => {
  test("warns of a container whose state cannot be read, shows the others, and delete --force takes it away", async () => {
    mkdirSync(join(root, "damaged"), { recursive: true });
    writeFileSync(join(root, "damaged", "state.json"), "{");
    mkdirSync(join(root, "empty"));
    const { stdout, stderr, status } = await runtime(root, "list", "-q");
    expect({ stdout, status }).toEqual({ stdout: "", status: 0 });
    expect(stderr).toContain("level=warning");
    expect(stderr).toContain("damaged/state.json: not JSON");
    expect(await fail(root, "delete", "damaged")).toContain("not JSON");
    expect(await fail(root, "delete", "empty")).toContain("its creation was interrupted");
    for (const id of ["damaged", "empty"]) await succeed(root, "delete", "--force", id);
    expect(scene.stateRoot()).toEqual([]);
  });
});

describe.skipIf(!isRoot)("kill", () => {
  test("sends TERM by itself, and other signals by name or number", async () => {
    const script =
      "trap 'echo term' TERM; trap 'echo hup' HUP; trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done";
    const child = Bun.spawn(runtimeCommand(root, ["run", "-b", bundles.make(["sh", "-c", script]), "c1"]), {
      stdin: "ignore",
      stdout: "pipe",
    });
    const next: Record<string, string[]> = { ready: [], "ready\nterm": ["SIGHUP"], "ready\nterm\nhup": ["10"] };
    let text = "";
    for await (const chunk of child.stdout) {
      text += Buffer.from(chunk).toString();
      const signal = next[text.trim()];
      if (signal === undefined) continue;
      // The program may say its first word before `run` has written down that it runs.
      await scene.waitForStatus("c1", "running");
      await succeed(root, "kill", "c1", ...signal);
    }
    expect(text).toBe("ready\nterm\nhup\n");
    expect(await child.exited).toBe(9);
  });
  test("of all reaches every process, and KILL ends a container without a pid namespace as a whole", async () => {
    const script = "trap '' TERM; sleep 60 & sleep 60 & wait; echo waited; while :; do sleep 0.02; done";
    const bundle = bundles.make(["sh", "-c", script], (config) => {
      config.linux!.namespaces = config.linux!.namespaces!.filter(({ type }) => type !== "pid");
    });
    await succeed(root, "run", "-d", "-b", bundle, "c1");
    // Every hierarchy has all of them.
    const members = () => readFileSync(`${scene.cgroups()[0]}/cgroup.procs`, "utf8").trim().split("\n");
    while (members().length < 3) await Bun.sleep(10);
    await succeed(root, "kill", "--all", "c1", "USR2");
    await scene.waitForStatus("c1", "stopped");
    await succeed(root, "delete", "c1");
    await succeed(root, "run", "-d", "-b", bundle, "c1");
    while (members().length < 3) await Bun.sleep(10);
    await succeed(root, "kill", "c1", "KILL");
    await scene.waitForStatus("c1", "stopped");
    await succeed(root, "delete", "c1");
    expect(scene.cgroups()).toEqual([]);
  });
});

describe.skipIf(!isRoot)("hooks", () => {
  test("run in the order of the specification, each where it belongs and with its state", async () => {
    const bundle = bundles.make(["cat", "/log"], (config) => {
      config.root = { path: "rootfs" };
      const log = join(bundles.directory, "bundle1/rootfs/log");
      const hook = (name: string, path: string) => {
        const text = `printf '${name} %s ' "$(readlink /proc/self/ns/mnt)" >> ${path}; cat >> ${path}; echo >> ${path}`;
        return [{ path: "/bin/sh", args: ["sh", "-c", text], env: ["PATH=/bin:/usr/bin"] }];
      };
      config.hooks = {
        startContainer: hook("startContainer", "/log"),
        createContainer: hook("createContainer", log),
        createRuntime: hook("createRuntime", log),
      };
    });
    await succeed(root, "create", "-b", bundle, "h1");
    const { pid } = await scene.stateOf("h1");
    const container = readlinkSync(`/proc/${pid}/ns/mnt`);
    await succeed(root, "start", "h1");
    await scene.waitForStatus("h1", "stopped");
    const lines = readFileSync(join(bundle, "rootfs/log"), "utf8").trim().split("\n");
    const seen = lines.map((line) => {
      const [name, namespace, ...state] = line.split(" ");
      return [name, namespace, JSON.parse(state.join(" "))];
    });
    const state = { id: "h1", bundle, pid };
    expect(seen).toEqual([
      ["createRuntime", readlinkSync("/proc/self/ns/mnt"), expect.objectContaining({ ...state, status: "creating" })],
      ["createContainer", container, expect.objectContaining({ ...state, status: "creating" })],
      ["startContainer", container, expect.objectContaining({ ...state, status: "created" })],
    ]);
  });

  test("that fail in the container leave nothing of it", async () => {
    const bundle = bundles.make(["true"], (config) => {
      config.hooks = { createContainer: [{ path: "/bin/false" }] };
    });
    expect(await fail(root, "create", "-b", bundle, "h2")).toBe("hooks.createContainer[0] /bin/false: exit status 1");
    expect(scene.stateRoot()).toEqual([]);
  });
});
