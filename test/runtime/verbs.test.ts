/** The verbs of the runtime's command line, the same table for runc and for tsd: statuses, output, state. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { command, until } from "../harness/command.ts";
import { tsd } from "../harness/workspace.ts";
import { Bundles, messageOf, type RuntimeName } from "./bundles.ts";

let bundles: Bundles;

beforeAll(async () => {
  bundles = await Bundles.open(["busybox"]);
}, 120_000);

afterAll(() => bundles?.[Symbol.asyncDispose]());

const loop = ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.02; done"];
const bundleOf = (...args: string[]) => bundles.bundleOf(args);
const running = (runtime: RuntimeName) => bundles.running(runtime, loop);

describe.each(["runc", "tsd"] as const)("%s", (runtime) => {
  const verb = (...words: string[]) => bundles.verb(runtime, words);

  test("create, start, state, kill and delete take a container through its states", async () => {
    const { id, bundle } = await bundleOf("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.02; done");
    const pidFile = `${bundle}/pid`;
    expect(await bundles.detached(runtime, ["create", "--bundle", bundle, "--pid-file", pidFile, id])).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    const created = await bundles.state(runtime, id);
    expect(created).toMatchObject({ id, status: "created", bundle, owner: "" });
    expect(created.pid).toBe(Number(readFileSync(pidFile, "utf8")));
    expect(Object.keys(created)).toEqual(["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"]);
    expect(Date.parse(created.created as string)).toBeGreaterThan(Date.now() - 60_000);
    expect((await verb("delete", id)).status).toBe(0);
    expect((await verb("state", id)).status).toBe(1);
  });

  test("start lets a created container run, once", async () => {
    const { id, bundle } = await bundleOf("sleep", "1000");
    expect((await bundles.detached(runtime, ["create", "--bundle", bundle, id])).status).toBe(0);
    expect(await verb("start", id)).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(await bundles.state(runtime, id)).toMatchObject({ status: "running" });
    const again = await verb("start", id);
    expect([again.status, messageOf(again.stderr)]).toEqual([
      1,
      expect.stringContaining("cannot start an already running container"),
    ]);
    const running = await verb("delete", id);
    expect([running.status, messageOf(running.stderr)]).toEqual([
      1,
      `cannot delete container ${id} that is not stopped: running`,
    ]);
    await verb("kill", id, "KILL");
    await bundles.waitFor(runtime, id, "stopped");
    expect(await bundles.state(runtime, id)).toMatchObject({ pid: 0, status: "stopped" });
    const stopped = await verb("kill", id, "TERM");
    expect([stopped.status, messageOf(stopped.stderr)]).toEqual([1, expect.stringContaining("container not running")]);
    expect((await verb("exec", id, "true")).status).toBe(255);
    expect((await verb("start", id)).status).toBe(1);
    expect(await verb("delete", id)).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(bundles.traces(runtime, id)).toEqual([]);
  });

  test.each(["TERM", "SIGTERM", "15"])("kill %s reaches the first process", async (signal) => {
    await using container = await running(runtime);
    // Its trap is set before its loop calls anything.
    await until("it loops", async () => (await verb("exec", container.id, "ps")).stdout.includes("sleep"));
    expect(await verb("kill", container.id, signal)).toEqual({ status: 0, stdout: "", stderr: "" });
    await bundles.waitFor(runtime, container.id, "stopped");
  });

  test("kill without a signal sends TERM, and 0 asks whether it is there", async () => {
    await using container = await running(runtime);
    await until("it loops", async () => (await verb("exec", container.id, "ps")).stdout.includes("sleep"));
    expect((await verb("kill", container.id, "0")).status).toBe(0);
    expect(await bundles.state(runtime, container.id)).toMatchObject({ status: "running" });
    expect((await verb("kill", container.id)).status).toBe(0);
    await bundles.waitFor(runtime, container.id, "stopped");
  });

  test("kill --all reaches every process", async () => {
    await using container = await running(runtime);
    const pidFile = `${container.bundle}/exec-pid`;
    await bundles.detached(runtime, ["exec", "--detach", "--pid-file", pidFile, container.id, "sleep", "1000"]);
    const pid = readFileSync(pidFile, "utf8");
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    expect((await verb("kill", "--all", container.id, "KILL")).status).toBe(0);
    await until("the other process has ended", () => !existsSync(`/proc/${pid}`));
    await bundles.waitFor(runtime, container.id, "stopped");
  });

  test.each(["NOPE", "99"])("kill %s is refused", async (signal) => {
    await using container = await running(runtime);
    const { status, stderr } = await verb("kill", container.id, signal);
    expect([status, messageOf(stderr)]).toEqual([1, expect.stringMatching(/signal/)]);
    expect(await bundles.state(runtime, container.id)).toMatchObject({ status: "running" });
  });

  test.each(["state", "start", "kill", "delete"])("%s of an unknown container is refused", async (name) => {
    const { status, stderr, stdout } = await verb(name, "no-such-container");
    expect([status, stdout, messageOf(stderr)]).toEqual([1, "", expect.stringContaining("does not exist")]);
  });

  test("delete --force of an unknown container is no error", async () => {
    expect(await verb("delete", "--force", "no-such-container")).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("list shows containers as a table, as JSON and as names", async () => {
    await using container = await running(runtime);
    const { id, bundle } = container;
    const { pid, created } = await bundles.state(runtime, id);
    const [heading, row, ...rest] = (await verb("list")).stdout.split("\n");
    expect(rest).toEqual([""]);
    expect(heading).toMatch(/^ID {2,}PID {9}STATUS {6}BUNDLE {2,}CREATED {2,}OWNER$/);
    expect(row!.split(/ +/)).toEqual([id, String(pid), "running", bundle, created as string, "root"]);
    // Every column begins where its heading does.
    for (const [title, value] of [
      ["STATUS", "running"],
      ["BUNDLE", bundle],
      ["OWNER", "root"],
    ]) {
      expect(row!.indexOf(value!)).toBe(heading!.indexOf(title!));
    }
    const listed = JSON.parse((await verb("list", "--format", "json")).stdout);
    expect(listed).toEqual([{ ...(await bundles.state(runtime, id)), owner: "root" }]);
    expect(await verb("list", "-q")).toEqual({ status: 0, stdout: `${id}\n`, stderr: "" });
    const wrong = await verb("list", "--format", "yaml");
    expect([wrong.status, messageOf(wrong.stderr)]).toEqual([1, "invalid format option"]);
  });

  test("a name that is taken is refused, and the container goes on", async () => {
    await using container = await running(runtime);
    const { status, stderr } = await verb("run", "--bundle", container.bundle, container.id);
    expect([status, messageOf(stderr)]).toEqual([1, expect.stringMatching(/container with .*already exists/i)]);
    expect(await bundles.state(runtime, container.id)).toMatchObject({ status: "running" });
  });

  test("run ends with the container's status and deletes it", async () => {
    for (const [script, expected] of [
      ["exit 9", 9],
      ["exit 0", 0],
      ["trap - TERM; kill -TERM $$; sleep 0.01; exit 4", 4],
    ] as const) {
      const { id, bundle } = await bundleOf("sh", "-c", `echo out; echo err >&2; ${script}`);
      expect(await verb("run", "--bundle", bundle, id)).toEqual({ status: expected, stdout: "out\n", stderr: "err\n" });
      expect(bundles.traces(runtime, id)).toEqual([]);
    }
  });

  test("run passes standard input and its end on", async () => {
    const { id, bundle } = await bundleOf("sh", "-c", "cat; echo end");
    const { status, stdout } = await bundles.verb(runtime, ["run", "-b", bundle, id], { stdin: "one\ntwo\n" });
    expect([status, stdout]).toEqual([0, "one\ntwo\nend\n"]);
  });

  test("run passes signals on", async () => {
    const { id, bundle } = await bundleOf(
      "sh",
      "-c",
      "trap 'echo hup; exit 6' HUP; echo ready; while :; do sleep 0.02; done",
    );
    const child = Bun.spawn(bundles.argv(runtime, ["run", "-b", bundle, id]), { stdin: "ignore", stdout: "pipe" });
    const reader = child.stdout.getReader();
    const text = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await text()).toBe("ready\n");
    child.kill("SIGHUP");
    expect(await text()).toBe("hup\n");
    expect(await child.exited).toBe(6);
    expect(bundles.traces(runtime, id)).toEqual([]);
  });

  test("run --keep leaves a stopped container", async () => {
    const { id, bundle } = await bundleOf("sh", "-c", "exit 9");
    expect((await verb("run", "--keep", "--bundle", bundle, id)).status).toBe(9);
    expect(await bundles.state(runtime, id)).toMatchObject({ status: "stopped", pid: 0 });
    expect((await verb("delete", id)).status).toBe(0);
    expect(bundles.traces(runtime, id)).toEqual([]);
  });

  test("run finds the bundle in the working directory", async () => {
    const { id, bundle } = await bundleOf("pwd");
    expect(await bundles.verb(runtime, ["run", id], { cwd: bundle })).toEqual({ status: 0, stdout: "/\n", stderr: "" });
  });

  test("run --no-pivot changes the root all the same", async () => {
    const { id, bundle } = await bundleOf("sh", "-c", "ls -d /bin /boot 2>/dev/null; echo $$");
    const { status, stdout } = await verb("run", "--no-pivot", "--bundle", bundle, id);
    expect([status, stdout]).toEqual([0, "/bin\n1\n"]);
  });

  test("run --preserve-fds passes descriptors on, and no other", async () => {
    const { id, bundle } = await bundleOf("sh", "-c", "cat <&4; cd /proc/1/fd; ls; true");
    const script = `exec 3</dev/null 4<"$1" 5</dev/null; shift; exec "$@"`;
    await Bun.write(`${bundle}/text`, "of four\n");
    const argv = bundles.argv(runtime, ["run", "--preserve-fds", "2", "--bundle", bundle, id]);
    const result = await command(["bash", "-c", script, "bash", `${bundle}/text`, ...argv]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    // runc 1.1.5 leaks some of its own.
    const [first, ...open] = result.stdout.trim().split("\n");
    expect(first).toBe("of four");
    expect(runtime === "tsd" ? open : open.slice(0, 5)).toEqual(["0", "1", "2", "3", "4"]);
  });

  test("--preserve-fds of descriptors that are not open is refused", async () => {
    const { id, bundle } = await bundleOf("true");
    const { status, stderr } = await verb("run", "--preserve-fds", "20", "--bundle", bundle, id);
    expect([status, messageOf(stderr)]).toEqual([1, expect.stringMatching(/preserved.*(not open|no such file)/)]);
    expect(bundles.traces(runtime, id)).toEqual([]);
  });
});

describe("tsd", () => {
  test.each(["runc", "tsd-runc"])("is the runtime when it is called %s", async (name) => {
    const link = bundles.workspace.path(name);
    symlinkSync(tsd, link);
    const { id, bundle } = await bundleOf("echo", "hi");
    const root = ["--root", bundles.stateRoot("tsd")];
    expect(await command([link, ...root, "run", "--bundle", bundle, id])).toEqual({
      status: 0,
      stdout: "hi\n",
      stderr: "",
    });
    expect((await command([link, "--version"])).stdout).toMatch(/^\S+ version \S+\ncommit: \S+\nspec: 1\.\d+\.\d+\n/);
    const wrong = await command([link, ...root, "state"]);
    expect([wrong.status, messageOf(wrong.stderr)]).toEqual([1, `${name}: "state" requires exactly 1 argument(s)`]);
  });

  test("the state's version is the specification's that the state follows", async () => {
    await using container = await running("tsd");
    expect(await bundles.state("tsd", container.id)).toMatchObject({ ociVersion: "1.3.0" });
  });
});
