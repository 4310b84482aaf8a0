/** state, list, kill, delete, start and spec, and the global flags. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../../harness/command.ts";
import { errorOf, OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

const silent = { status: 0, stdout: "", stderr: "" };
/** Ends with the number that a signal's trap gives, once its first output shows that the traps are set. */
const trapping = [
  "sh",
  "-c",
  'for s in HUP INT QUIT USR1 USR2 TERM WINCH; do trap "echo $s; exit 3" $s; done; echo ready; while :; do sleep 0.02; done',
];

describe("state", () => {
  test("has the specification's fields and runc's own, in runc's order", async () => {
    await using container = await runtime.created(undefined, (config) => {
      config.annotations = { "org.example.key": "value" };
    });
    const { id, bundle } = container;
    const state = await runtime.state(id);
    const keys = ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"];
    expect(Object.keys(state)).toEqual(keys);
    expect(state).toMatchObject({ id, bundle, rootfs: runtime.rootfs, status: "created", owner: "" });
    expect(state.annotations).toEqual({ "org.example.key": "value" });
    expect(state.ociVersion).toMatch(/^1\.\d+\.\d+/);
    expect(state.created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    expect(Math.abs(Date.parse(state.created) - Date.now())).toBeLessThan(600_000);
    expect(existsSync(`/proc/${state.pid}`)).toBe(true);
  });

  test("is of the file of the first process, which the kernel knows", async () => {
    await using container = await runtime.running(["sleep", "997"]);
    const { pid } = await runtime.state(container.id);
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe("sleep\x00997\x00");
  });
});

describe("list", () => {
  test("is a table, JSON, or ids", async () => {
    await using container = await runtime.running();
    const state = await runtime.state(container.id);
    const [heading, row, ...rest] = (await runtime.ok("list")).split("\n");
    expect(heading!.trim().split(/ +/)).toEqual(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    expect(row!.split(/ {3,}/)).toEqual([state.id, String(state.pid), "running", state.bundle, state.created, "root"]);
    expect(rest).toEqual([""]);
    expect(await runtime.ok("list", "--format=table")).toBe(`${heading}\n${row}\n`);
    expect(JSON.parse(await runtime.ok("list", "-f", "json"))).toEqual([{ ...state, owner: "root" }]);
    expect(await runtime.ok("list", "-q")).toBe(`${container.id}\n`);
    expect(await runtime.ok("list", "--quiet", "--format", "json")).toBe(`${container.id}\n`);
  });

  test("of nothing is empty", async () => {
    expect(await runtime.ok("list", "-q")).toBe("");
    // Go's empty list is null; an empty list says the same, and parses as well.
    expect(await runtime.ok("list", "-f", "json")).toBe(isTsd ? "[]\n" : "null\n");
    expect(await runtime.fails("list", "-f", "yaml")).toEqual({ status: 1, message: "invalid format option" });
  });

  test("knows the containers of its --root alone", async () => {
    await using container = await runtime.running();
    const other = await command([runtime.program, "--root", runtime.path("other"), "list", "-q"]);
    expect(other).toEqual(silent);
    const same = await command([runtime.program, `--root=${runtime.stateRoot}`, "list", "-q"]);
    expect(same.stdout).toBe(`${container.id}\n`);
  });
});

describe("kill", () => {
  for (const [words, name] of [
    [[], "TERM"],
    [["TERM"], "TERM"],
    [["SIGHUP"], "HUP"],
    [["int"], "INT"],
    [["sigusr1"], "USR1"],
    [["12"], "USR2"],
    [["3"], "QUIT"],
    [["WINCH"], "WINCH"],
  ] as const) {
    test(`${["ID", ...words].join(" ")} sends SIG${name} to the first process`, async () => {
      await using container = runtime.bundle(trapping);
      await using run = runtime.live(["run", "-b", container.bundle, container.id]);
      await run.shows("ready");
      expect(await runtime.verb(["kill", container.id, ...words])).toEqual(silent);
      expect([await run.end(), run.stdout]).toEqual([3, `ready\n${name}\n`]);
    });
  }

  test("--all reaches every process of the container", async () => {
    await using container = await runtime.running();
    const file = runtime.path("pid");
    await runtime.detached(["exec", "-d", "--pid-file", file, container.id, "sleep", "1000"]);
    const pid = readFileSync(file, "utf8");
    await runtime.until("it sleeps", () => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"));
    expect(await runtime.verb(["kill", "-a", container.id, "TERM"])).toEqual(silent);
    // The first process of a pid namespace ignores what it does not handle.
    await runtime.until("the other has ended", () => !existsSync(`/proc/${pid}`));
    expect(await runtime.state(container.id)).toMatchObject({ status: "running" });
  });

  for (const signal of ["NOSUCH", "99", "-1", "TERM2"]) {
    test(`with ${signal} is refused, and the container goes on`, async () => {
      await using container = await runtime.running();
      const { status, message } = await runtime.fails("kill", "--", container.id, signal);
      expect([status, message]).toEqual([1, expect.stringMatching(/signal|invalid argument/)]);
      expect(await runtime.state(container.id)).toMatchObject({ status: "running" });
    });
  }

  test("of a created container ends it", async () => {
    await using container = await runtime.created();
    expect(await runtime.verb(["kill", container.id, "KILL"])).toEqual(silent);
    await runtime.waitFor(container.id, "stopped");
  });

  test("of a stopped one says that it is not running", async () => {
    await using container = await runtime.running(["true"]);
    await runtime.waitFor(container.id, "stopped");
    // containerd, CRI-O and podman look for these words.
    const message = expect.stringContaining("container not running");
    expect(await runtime.fails("kill", container.id, "KILL")).toEqual({ status: 1, message });
  });
});

describe("delete and start", () => {
  test("delete of what runs is refused, and --force ends it", async () => {
    await using container = await runtime.running();
    const { id } = container;
    const refusal = `cannot delete container ${id} that is not stopped: running`;
    expect(await runtime.fails("delete", id)).toEqual({ status: 1, message: expect.stringContaining(refusal) });
    const { pid } = await runtime.state(id);
    expect(await runtime.verb(["delete", "-f", id])).toEqual(silent);
    expect(runtime.traces(id)).toEqual([]);
    await runtime.until("its process is gone", () => !existsSync(`/proc/${pid}/exe`));
  });

  test("delete of a created one ends it", async () => {
    await using container = await runtime.created();
    expect(await runtime.verb(["delete", container.id])).toEqual(silent);
    await runtime.until("nothing is left", () => runtime.traces(container.id).length === 0);
  });

  test("start works once, and never after the end", async () => {
    await using container = await runtime.created();
    const { id } = container;
    expect(await runtime.verb(["start", id])).toEqual(silent);
    const running = expect.stringContaining("cannot start an already running container");
    expect(await runtime.fails("start", id)).toEqual({ status: 1, message: running });
    await runtime.ok("kill", id, "KILL");
    await runtime.waitFor(id, "stopped");
    const stopped = expect.stringContaining("cannot start a container that has stopped");
    expect(await runtime.fails("start", id)).toEqual({ status: 1, message: stopped });
  });
});

describe("the log", () => {
  const log = async (...flags: string[]) => {
    const path = runtime.path("log");
    const result = await runtime.verb(["--log", path, ...flags, "state", "nobody"]);
    return { ...result, text: await Bun.file(path).text() };
  };

  test("in text is where --log says, and the bare error on standard error", async () => {
    const { status, stdout, stderr, text } = await log();
    expect([status, stdout]).toEqual([1, ""]);
    const message = errorOf(text);
    expect(message).toMatch(/^container .*does not exist/);
    expect(stderr).toBe(`${message}\n`);
    expect(text).toMatch(/^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)" level=error msg="/);
  });

  test("in JSON has a line for each entry, with level, msg and time", async () => {
    const { stderr, text } = await log("--log-format", "json");
    const entry = JSON.parse(text.trimEnd());
    expect(Object.keys(entry)).toEqual(["level", "msg", "time"]);
    expect(entry).toMatchObject({ level: "error", msg: stderr.trimEnd() });
    expect(Number.isNaN(Date.parse(entry.time))).toBe(false);
  });

  test("with --debug tells more", async () => {
    const path = runtime.path("log");
    await using container = runtime.bundle(["sleep", "1000"]);
    const flags = ["--debug", "--log", path, "--log-format", "json"];
    expect(await runtime.detached([...flags, "create", "-b", container.bundle, container.id])).toEqual(silent);
    const levels = readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).level);
    expect(levels).toContain("debug");
    expect(levels).not.toContain("error");
  });

  test("is added to, and needs its directory", async () => {
    const path = runtime.path("log");
    for (let round = 0; round < 2; round++) await runtime.verb(["--log", path, "state", "nobody"]);
    expect(readFileSync(path, "utf8").trim().split("\n")).toHaveLength(2);
    const none = join(runtime.path("none"), "log");
    const { status, stderr } = await runtime.verb(["--log", none, "state", "nobody"]);
    expect([status, stderr]).toEqual([1, expect.stringContaining(none)]);
  });
});

test("--rootless true, false and auto are taken", async () => {
  for (const value of ["true", "false", "auto"]) {
    const { id, bundle } = runtime.bundle(["echo", "hi"]);
    expect(await runtime.verb(["--rootless", value, "run", "-b", bundle, id])).toEqual({ ...silent, stdout: "hi\n" });
  }
});

needs("tsd")("a plain user's create is refused with the reason, and nothing is left", async () => {
  // The kernel's answer depends on where it is asked first: runc reports its own file system's.
  const { id, bundle } = runtime.bundle(["true"]);
  const root = runtime.path("user-state");
  const argv = [
    "setpriv",
    "--reuid",
    "1000",
    "--clear-groups",
    runtime.program,
    "--root",
    root,
    "run",
    "-b",
    bundle,
    id,
  ];
  const { status, stderr } = await command(argv);
  expect([status, errorOf(stderr)]).toEqual([1, expect.stringMatching(/EACCES|EPERM/)]);
  expect(errorOf(stderr)).toContain(root);
});

describe("spec", () => {
  test("writes a configuration that runs, once", async () => {
    const bundle = runtime.path("spec");
    mkdirSync(bundle);
    expect(await runtime.verb(["spec"], { cwd: bundle })).toEqual(silent);
    const path = join(bundle, "config.json");
    const config = await Bun.file(path).json();
    expect(config.process).toMatchObject({ terminal: true, args: ["sh"], cwd: "/", user: { uid: 0, gid: 0 } });
    expect(config.root).toEqual({ path: "rootfs", readonly: true });
    const again = await runtime.fails("spec", "--bundle", bundle);
    expect(again).toEqual({ status: 1, message: expect.stringMatching(/config.json exists/) });
    config.root.path = runtime.rootfs;
    config.process.terminal = false;
    config.process.args = ["echo", "from the template"];
    config.linux.cgroupsPath = `${runtime.workspace.cgroupParent}/spec`;
    await using container = runtime.bundleOf(config);
    expect(await runtime.ok("run", "-b", container.bundle, container.id)).toBe("from the template\n");
  });

  test("--rootless maps the user, and asks for nothing that needs privileges", async () => {
    const bundle = runtime.path("rootless");
    mkdirSync(bundle);
    expect(await runtime.verb(["spec", "--rootless", "-b", bundle])).toEqual(silent);
    const { linux } = await Bun.file(join(bundle, "config.json")).json();
    const types = linux.namespaces.map(({ type }: { type: string }) => type);
    expect(types).toContain("user");
    expect(types).not.toContain("network");
    expect(linux.uidMappings).toEqual([{ containerID: 0, hostID: 0, size: 1 }]);
    expect(linux.resources).toBeUndefined();
  });

  test("of a bundle that is not there is refused by its path", async () => {
    const path = runtime.path("none");
    expect((await runtime.fails("spec", "-b", path)).message).toContain(path);
  });
});
