/** containerd's shim drives tsd-runc as it drives runc. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { until } from "../../harness/command.ts";
import { LiveCommand } from "../../harness/live.ts";
import { type Peer, runtimePath, runtimes, startContainerd } from "../../harness/peers.ts";
import { TerminalSession } from "../../harness/terminal.ts";
import { Workspace } from "../../harness/workspace.ts";

let workspace: Workspace;
let ctr: Peer;

beforeAll(async () => {
  workspace = await Workspace.open();
  ctr = await startContainerd(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose](), 30_000);

describe.each(runtimes)("with %s a task", (runtime) => {
  let count = 0;
  const newId = () => `${runtime}-${++count}`;
  const run = (flags: string[], ...args: string[]) => {
    const binary = ["--runc-binary", runtimePath(workspace, runtime), "--runc-root", workspace.path("runtimes")];
    return ["run", ...binary, ...flags, ctr.image, newId(), ...args];
  };
  /**
   * Runs a command whose process writes to a file: ctr 1.6 cancels its own streams when a process ends, and loses what
   * it has not begun to read. Of two streams the shim closes the file with the first: there is only one.
   */
  const logged = async (make: (flags: string[]) => string[]) => {
    const log = workspace.path("streams");
    await Bun.write(log, "");
    const { status, stderr } = await ctr.run(make(["--log-uri", `file://${log}`]));
    return { status, stderr, output: (await Bun.file(log).text()).replaceAll("\t", " ") };
  };
  const shell = (flags: string[], script: string) =>
    logged((log) => run(["--rm", ...log, ...flags], "sh", "-c", `exec 2>&1; ${script}`));
  /** A task that runs until the test ends. */
  const running = async (flags: string[] = [], ...args: string[]) => {
    const pidFile = workspace.path("pid");
    const words = run(["-d", "--pid-file", pidFile, ...flags], ...(args.length > 0 ? args : ["sleep", "1000"]));
    await ctr.ok(...words);
    const id = `${runtime}-${count}`;
    return {
      id,
      pid: Number(readFileSync(pidFile, "utf8")),
      [Symbol.asyncDispose]: async () => {
        if ((await tasks()).has(id)) await ctr.run(["tasks", "delete", "--force", id]);
        await ctr.ok("containers", "delete", id);
      },
    };
  };
  const tasks = async () => {
    const lines = (await ctr.ok("tasks", "list")).split("\n").slice(1);
    return new Map(lines.map((line) => line.trim().split(/\s+/)).map(([id, , status]) => [id!, status!]));
  };
  const status = async (id: string, wanted: string) =>
    until(`${id} is ${wanted}`, async () => (await tasks()).get(id) === wanted);
  let execs = 0;
  const exec = (id: string, flags: string[], ...args: string[]) =>
    logged((log) => {
      const streams = flags.includes("-d") ? [] : log;
      return ["tasks", "exec", "--exec-id", `exec-${++execs}`, ...streams, ...flags, id, ...args];
    });

  test("ends with its status, and leaves nothing", async () => {
    const result = await shell([], "echo out; echo err >&2; exit 7");
    expect([result.status, result.output.split("\n").sort()]).toEqual([7, ["", "err", "out"]]);
    expect(await tasks()).toEqual(new Map());
  });

  test("is refused with the runtime's reason", async () => {
    const missing = await ctr.run(run(["--rm"], "nope"));
    expect([missing.status, missing.stderr]).toEqual([1, expect.stringMatching(/"nope": executable file not found/)]);
    const text = await ctr.run(run(["--rm"], "/etc/not-executable"));
    expect([text.status, text.stderr]).toEqual([1, expect.stringMatching(/not-executable": permission denied/)]);
    expect(await ctr.ok("containers", "list", "-q")).toBe("");
  });

  test("has its environment, directory and filter", async () => {
    const flags = ["--env", "A=b", "--cwd", "/tmp", "--seccomp", "--read-only"];
    const script = 'echo "$A"; pwd; grep Seccomp: /proc/self/status; touch /x';
    const { output } = await shell(flags, script);
    expect(output.split("\n").sort()).toEqual(["", "/tmp", "Seccomp: 2", "b", "touch: /x: Read-only file system"]);
  });

  test("has all of its caller's capabilities when it is privileged", async () => {
    const { output } = await shell(
      ["--privileged"],
      "grep -E 'CapEff|Seccomp:' /proc/self/status; : > /proc/sys/kernel/domainname",
    );
    const own = /^CapEff:\t(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1];
    expect(output).toBe(`CapEff: ${own}\nSeccomp: 0\n`);
  });

  test("has a terminal of the window's size, which follows it", async () => {
    const options = { rows: 33, columns: 99 };
    await using session = new TerminalSession(ctr.argv(...run(["--rm", "-t"], "sh")), options);
    await session.expect("# ");
    session.type("until stty size | grep '^3[45] 50'; do sleep 0.05; done; exit 4\n");
    // ctr hears of a change only some time after the shell's prompt: there is one every 40 looks until one is heard of.
    let looks = 0;
    await until("the terminal follows", () => {
      if (looks++ % 40 === 0) session.resize({ rows: 34 + ((looks / 40) & 1), columns: 50 });
      return /\n3[45] 50\r/.test(session.output);
    });
    expect(await session.end()).toBe(4);
  });

  test("is entered with exec, at a terminal as well", async () => {
    await using box = await running();
    expect(existsSync(`/proc/${box.pid}`)).toBe(true);
    const result = await exec(box.id, [], "sh", "-c", "echo in; exit 3");
    expect([result.status, result.output]).toEqual([3, "in\n"]);
    expect((await exec(box.id, ["--user", "alice", "--cwd", "/tmp"], "sh", "-c", "id -un; pwd")).output).toBe(
      "alice\n/tmp\n",
    );
    expect((await exec(box.id, [], "sh", "-c", "kill -9 $$")).status).toBe(137);
    expect((await exec(box.id, [], "nope")).stderr).toMatch(/"nope": executable file not found/);
    const argv = ctr.argv("tasks", "exec", "-t", "--exec-id", "terminal", box.id, "sh");
    await using session = new TerminalSession(argv, { rows: 33, columns: 99 });
    await session.expect("# ");
    session.type("until stty size | grep '^33 99'; do sleep 0.05; done; exit 5\n");
    await session.expect(/\n33 99\r/);
    expect(await session.end()).toBe(5);
  });

  test("has its processes told, and one of them killed", async () => {
    await using box = await running();
    expect((await exec(box.id, ["-d"], "sleep", "2000")).status).toBe(0);
    const processes = async () => (await ctr.ok("tasks", "ps", box.id)).split("\n").slice(1);
    const lines = await processes();
    const [first, second, ...others] = lines.sort(
      (a, b) => Number(a.includes("ExecID")) - Number(b.includes("ExecID")),
    );
    expect([first, second, others]).toEqual([
      expect.stringMatching(new RegExp(`^${box.pid} +-$`)),
      expect.stringMatching(/ExecID:exec-/),
      [],
    ]);
    await ctr.ok("tasks", "kill", "--exec-id", `exec-${execs}`, "--signal", "SIGKILL", box.id);
    await until("it is gone", async () => (await processes()).length === 1);
  });

  test("is paused and resumed", async () => {
    await using box = await running();
    await ctr.ok("tasks", "pause", box.id);
    await status(box.id, "PAUSED");
    expect((await exec(box.id, [], "true")).stderr).toContain("paused state");
    await ctr.ok("tasks", "resume", box.id);
    await status(box.id, "RUNNING");
    expect((await exec(box.id, [], "true")).status).toBe(0);
  });

  test("is limited, and measured", async () => {
    await using box = await running(["--memory-limit", "67108864", "--cpus", "0.5"]);
    // runc's own threads are there for a moment after the start.
    const metrics = await ctr.says(/pids\.current +1\s/, "tasks", "metrics", box.id);
    expect(metrics).toMatch(/memory\.(limit_in_bytes|usage_limit) +67108864/);
    const path = (await exec(box.id, [], "cat", "/proc/self/cgroup")).output;
    expect(path).toContain(`:/${workspace.name}/${box.id}\n`);
  });

  test("is killed, deleted and started again", async () => {
    await using box = await running();
    await ctr.ok("tasks", "kill", "--signal", "SIGKILL", box.id);
    await status(box.id, "STOPPED");
    await ctr.run(["tasks", "delete", box.id]); // its status is the task's
    expect((await tasks()).has(box.id)).toBe(false);
    await ctr.ok("tasks", "start", "-d", box.id);
    expect((await ctr.run(["tasks", "delete", box.id])).stderr).toMatch(/stopped|running/);
    await ctr.ok("tasks", "kill", "--all", "--signal", "SIGKILL", box.id);
    await status(box.id, "STOPPED");
  });

  test("that shares another's pid namespace is killed with all its processes", async () => {
    await using host = await running();
    const script = "sleep 3000 & sleep 3000";
    await using guest = await running(["--with-ns", `pid:/proc/${host.pid}/ns/pid`], "sh", "-c", script);
    await until("both run", async () => (await ctr.ok("tasks", "ps", guest.id)).split("\n").length > 2);
    await ctr.ok("tasks", "kill", "--all", "--signal", "SIGKILL", guest.id);
    await status(guest.id, "STOPPED");
    await until("only the host's is left", async () => {
      return (await exec(host.id, [], "sh", "-c", "ps -o args | grep -c 'sleep 300[0]'")).output === "0\n";
    });
  });

  test("that needs more memory than it may is killed, which is an event", async () => {
    await using events = new LiveCommand(ctr.argv("events"));
    await using box = await running(
      ["--memory-limit", "16777216"],
      "sh",
      "-c",
      "sleep 0.2; x=x; while :; do x=$x$x; done",
    );
    await status(box.id, "STOPPED");
    await until("the event", () => events.stdout.includes("/tasks/oom") && events.stdout.includes("/tasks/exit"));
  });
});
