/** Other OCI runtimes in place of the built-in one: `tsd daemon --add-runtime NAME=PATH`, `tsd run --runtime NAME`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { startRegistry } from "../harness/registry.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd, Workspace } from "../harness/workspace.ts";

let workspace: Workspace;
let daemon: Daemon;
let image: string;

const paths = ["runc", "crun"].map((name) => [name, Bun.which(name, { PATH: "/usr/sbin:/usr/bin" })] as const);
/** crun refuses hosts that have controllers in both versions of cgroups. */
const crunWorks = !existsSync("/sys/fs/cgroup/memory");
const runtimes = [
  "runc",
  "tsd",
  ...paths.flatMap(([name, path]) => (name === "crun" && path !== null && crunWorks ? [name] : [])),
];

beforeAll(async () => {
  workspace = await Workspace.open();
  const flags = paths.flatMap(([name, path]) => (path === null ? [] : ["--add-runtime", `${name}=${path}`]));
  daemon = await Daemon.start(workspace, {
    flags: [...flags, "--add-runtime", "broken=/bin/false", "--add-runtime", "gone=/no/such/runtime"],
  });
  image = await (await startRegistry(workspace)).push("busybox");
  await daemon.ok("pull", "-q", image);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

function run(runtime: string, flags: string[], ...args: string[]): string[] {
  return ["run", "--runtime", runtime, "--network", "none", ...flags, image, ...args];
}

describe.each(runtimes)("with %s a container", (runtime) => {
  test.each([0, 7, 255])("ends with the status %d", async (status) => {
    const result = await daemon.tsd(run(runtime, ["--rm"], "sh", "-c", `echo out; echo err >&2; exit ${status}`));
    expect(result).toEqual({ status, stdout: "out\n", stderr: "err\n" });
  });

  test("ends with 128 and the signal that ended it", async () => {
    const result = await daemon.tsd(run(runtime, ["--rm", "--init"], "sh", "-c", "kill -9 $$"));
    expect(result.status).toBe(137);
  });

  test("has 127 and 126 for a command that is not there, or not executable", async () => {
    const missing = await daemon.tsd(run(runtime, ["--rm"], "nope"));
    expect([missing.status, missing.stderr]).toEqual([127, expect.stringMatching(/nope.*not found/)]);
    const text = await daemon.tsd(run(runtime, ["--rm"], "/etc/not-executable"));
    expect([text.status, text.stderr]).toEqual([126, expect.stringMatching(/not-executable.*permission denied/i)]);
    expect(await daemon.ok("ps", "-aq")).toBe("");
  });

  test("reads standard input to its end", async () => {
    const result = await daemon.tsd(run(runtime, ["--rm", "-i"], "sh", "-c", "cat; echo end"), { stdin: "one\ntwo\n" });
    expect(result).toEqual({ status: 0, stdout: "one\ntwo\nend\n", stderr: "" });
  });

  test("has a terminal of the window's size", async () => {
    await using session = new TerminalSession([tsd, ...run(runtime, ["--rm", "-it"], "sh")], {
      env: daemon.env,
      rows: 33,
      columns: 99,
    });
    session.type("stty size; tty; exit 4\n");
    await session.expect(/33 99\r\n\/dev\/(pts\/0|console)\r\n/);
    expect(await session.end()).toBe(4);
  });

  test("is entered with exec, and stopped, killed and removed", async () => {
    const id = await daemon.ok(...run(runtime, ["-d"], "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"));
    expect(await daemon.ok("inspect", "--format", "{{.HostConfig.Runtime}}", id)).toBe(runtime);
    expect(await daemon.tsd(["exec", id, "sh", "-c", "echo in; exit 3"])).toEqual({
      status: 3,
      stdout: "in\n",
      stderr: "",
    });
    const piped = await daemon.tsd(["exec", "-i", "-u", "1000", "-e", "A=b", id, "sh", "-c", 'cat; id -u; echo "$A"'], {
      stdin: "x\n",
    });
    expect(piped).toEqual({ status: 0, stdout: "x\n1000\nb\n", stderr: "" });
    expect((await daemon.tsd(["exec", id, "nope"])).status).toBe(127);
    await daemon.ok("stop", id);
    expect(await daemon.ok("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", id)).toBe("exited 5");
    await daemon.ok("start", id);
    await daemon.ok("kill", id);
    expect(await daemon.ok("wait", id)).toBe("137");
    await daemon.ok("start", id);
    await daemon.ok("rm", "-f", id);
    expect(await daemon.ok("ps", "-aq")).toBe("");
  });

  test("that needs more memory than it may is killed, and says why", async () => {
    const id = await daemon.ok(
      ...run(runtime, ["-d", "--memory", "16m", "--memory-swap", "16m"], "sh", "-c", "x=x; while :; do x=$x$x; done"),
    );
    expect(await daemon.ok("wait", id)).toBe("137");
    expect(await daemon.ok("inspect", "--format", "{{.State.OOMKilled}}", id)).toBe("true");
    await daemon.ok("rm", id);
  });

  test("is limited and isolated as it is asked for", async () => {
    const script =
      "cat /proc/self/status | grep -E '^(CapEff|Seccomp|NoNewPrivs):'; cat /sys/fs/cgroup/pids/pids.max; ulimit -n; hostname; id -u";
    const flags = [
      "--rm",
      "--pids-limit",
      "55",
      "--ulimit",
      "nofile=77:88",
      "--hostname",
      "named",
      "-u",
      "1000",
      "--cap-drop",
      "ALL",
      "--security-opt",
      "no-new-privileges",
    ];
    expect((await daemon.tsd(run(runtime, flags, "sh", "-c", script))).stdout.replaceAll("\t", " ")).toBe(
      "CapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n55\n77\nnamed\n1000\n",
    );
  });

  test("outlives the daemon", async () => {
    const id = await daemon.ok(
      ...run(runtime, ["-d"], "sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 6"),
    );
    await daemon.stop("SIGKILL");
    await daemon.start();
    expect(await daemon.ok("ps", "-q", "--no-trunc")).toBe(id);
    await daemon.ok("exec", id, "touch", "/tmp/go");
    expect(await daemon.ok("wait", id)).toBe("6");
    await daemon.ok("rm", id);
  });
});

test("a runtime that nobody added is refused, and nothing is left", async () => {
  const { status, stderr } = await daemon.tsd(run("nobody", ["--rm"], "true"));
  expect([status, stderr]).toEqual([125, expect.stringMatching(/unknown or invalid runtime name: nobody/)]);
  expect(await daemon.ok("ps", "-aq")).toBe("");
});

test("a runtime that does not work is named with what it ended with", async () => {
  const { status, stderr } = await daemon.tsd(run("broken", ["--rm"], "true"));
  expect([status, stderr]).toEqual([125, expect.stringMatching(/\/bin\/false/)]);
  await until("it is gone", async () => (await daemon.ok("ps", "-aq")) === "");
});

test("a runtime whose program is not there is named by its path", async () => {
  const { status, stderr } = await daemon.tsd(run("gone", ["--rm"], "true"));
  expect([status, stderr]).toEqual([125, expect.stringMatching(/\/no\/such\/runtime/)]);
  await until("it is gone", async () => (await daemon.ok("ps", "-aq")) === "");
});
