import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { EventMessage } from "../api/schema/event.ts";
import { EngineError, isEngineError } from "../core/errors.ts";
import type { Engine } from "./engine.ts";
import { busybox, FakeWorld } from "./testing/fake-parts.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(() => world[Symbol.dispose]());

const never = new AbortController().signal;

async function create(request = busybox(), name?: string): Promise<string> {
  return (await engine.containers.create(request, { ...(name && { name }) })).Id;
}

async function started(request = busybox()): Promise<string> {
  const id = await create(request);
  await engine.containers.start(id);
  return id;
}

async function stateOf(id: string) {
  return (await engine.containers.inspect(id, { size: false })).State;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return isEngineError(error) ? error.code : `not an EngineError: ${error}`;
  }
  return "no error";
}

describe("a container's life", () => {
  test("create, start, end, remove: each leaves what it should and no more", async () => {
    const id = await create(busybox(), "web");
    expect(await stateOf("web")).toMatchObject({ Status: "created", Running: false });
    expect(world.snapshotKeys.has(id)).toBe(true);
    await engine.containers.start("web");
    expect(await stateOf(id)).toMatchObject({ Status: "running", Pid: process.pid });
    const { exited } = await engine.containers.wait(id, "not-running", never);
    world.shims[0]!.end({ exitCode: 7 });
    expect(await exited).toEqual({ StatusCode: 7 });
    expect(await stateOf(id)).toMatchObject({ Status: "exited", ExitCode: 7, Pid: 0 });
    await Bun.sleep(1);
    expect(world.shims[0]!.released).toBe(true);
    expect(world.networks.attached.size).toBe(0);
    await engine.containers.remove("web", { force: false, volumes: false, link: false });
    expect(world.snapshotKeys.size).toBe(0);
    expect(readdirSync(world.layout.containers)).toEqual([]);
    expect(await codeOf(engine.containers.inspect("web", { size: false }))).toBe("not_found");
  });

  test("a name is free again as soon as its container is gone, and taken until then", async () => {
    const id = await create(busybox(), "web");
    expect(await codeOf(create(busybox(), "web"))).toBe("already_exists");
    await engine.containers.remove(id, { force: false, volumes: false, link: false });
    await create(busybox(), "web");
  });

  test("start of a running container and stop of a stopped one say so", async () => {
    const id = await started();
    expect(await codeOf(engine.containers.start(id))).toBe("not_modified");
    world.shims[0]!.end();
    await Bun.sleep(1);
    expect(await codeOf(engine.containers.stop(id, {}))).toBe("not_modified");
    expect(await codeOf(engine.containers.kill(id, "KILL"))).toBe("conflict");
  });

  test("stop sends the stop signal, and SIGKILL when that does not help in time", async () => {
    world.obeysTerm = false;
    const id = await started(busybox({ StopSignal: "SIGUSR1" }));
    await engine.containers.stop(id, { timeoutSeconds: 0 });
    expect(world.shims[0]!.signals).toEqual([10, 9]);
    expect(await stateOf(id)).toMatchObject({ Status: "exited", ExitCode: 137 });
  });

  test("stop waits for as long as it is told, also beyond what a timer can", async () => {
    world.obeysTerm = false;
    const id = await started();
    const stopped = engine.containers.stop(id, { timeoutSeconds: 3_000_000 });
    await Bun.sleep(5);
    expect(world.shims[0]!.signals).toEqual([15]);
    world.shims[0]!.end();
    await stopped;
  });

  test("a start that was asked for before the end finds nothing left of that", async () => {
    const id = await started();
    const updated = Promise.withResolvers<void>();
    world.shims[0]!.update = () => updated.promise;
    const update = engine.containers.update(id, { PidsLimit: 100 });
    const start = engine.containers.start(id);
    await Bun.sleep(1);
    world.shims[0]!.end();
    await Bun.sleep(1);
    updated.resolve();
    await Promise.all([update, start]);
    expect(world.shims[0]!.released).toBe(true);
    expect(world.shims).toHaveLength(2);
    expect(await stateOf(id)).toMatchObject({ Status: "running" });
  });

  test("a running container is not removed unless that is forced", async () => {
    const id = await started();
    expect(await codeOf(engine.containers.remove(id, { force: false, volumes: false, link: false }))).toBe("conflict");
    await engine.containers.remove(id, { force: true, volumes: false, link: false });
    expect(world.shims[0]!.signals).toEqual([9]);
  });

  test("an ended container starts again with a new shim", async () => {
    const id = await started();
    world.shims[0]!.end({ exitCode: 1 });
    await Bun.sleep(1);
    await engine.containers.start(id);
    expect(await stateOf(id)).toMatchObject({ Status: "running", ExitCode: 0 });
    expect(world.shims).toHaveLength(2);
  });

  test("an ended container whose network could not be let go of starts again all the same", async () => {
    const id = await create();
    await engine.containers.start(id);
    const detach = world.networks.detach;
    world.networks.detach = () => Promise.reject(new EngineError("internal", "EBUSY"));
    world.shims[0]!.end();
    await engine.containers.wait(id, "not-running", never).then(({ exited }) => exited);
    // Whoever has the lock next does it: the end is settled when this is refused.
    expect(await codeOf(engine.containers.stop(id, {}))).toBe("not_modified");
    await Bun.sleep(1);
    world.networks.detach = detach;
    expect(world.networks.attached.has(id)).toBe(true);
    await engine.containers.start(id);
    expect((await stateOf(id)).Running).toBe(true);
  });

  test("two starts at once make one process", async () => {
    const id = await create();
    const results = await Promise.all([1, 2].map(() => codeOf(engine.containers.start(id))));
    expect(results.sort()).toEqual(["no error", "not_modified"]);
    expect(world.shims).toHaveLength(1);
  });
});

describe("a start that fails", () => {
  test.each([
    ["command_not_found", 127],
    ["command_not_executable", 126],
    ["internal", 128],
  ] as const)("with %s leaves the container created with status %d, and nothing else", async (code, status) => {
    world.startFailure = new EngineError(code, 'exec: "nope": it is so');
    const id = await create();
    const { exited } = await engine.containers.wait(id, "next-exit", never);
    expect(await codeOf(engine.containers.start(id))).toBe(code);
    expect(await stateOf(id)).toMatchObject({ Status: "created", ExitCode: status, Error: 'exec: "nope": it is so' });
    expect((await exited).StatusCode).toBe(status);
    expect(world.networks.attached.size).toBe(0);
    expect(world.shims[0]!.released).toBe(true);
    world.startFailure = undefined;
    await engine.containers.start(id);
    expect((await stateOf(id)).Running).toBe(true);
  });

  test("removes a container that is to be removed with its end", async () => {
    world.startFailure = new EngineError("command_not_found", "nope");
    const id = await create(busybox({ HostConfig: { AutoRemove: true } }), "once");
    const { exited } = await engine.containers.wait(id, "removed", never);
    await engine.containers.start(id).catch(() => undefined);
    expect((await exited).StatusCode).toBe(127);
    // Who asks a moment later, by its id, is told as well; not by its name, and not of an exit that is to come.
    expect(await (await engine.containers.wait(id, "not-running", never)).exited).toEqual({ StatusCode: 127 });
    expect(await codeOf(engine.containers.wait("once", "removed", never))).toBe("not_found");
    expect(await codeOf(engine.containers.wait(id, "next-exit", never))).toBe("not_found");
    await Bun.sleep(20);
    expect(world.snapshotKeys.size).toBe(0);
    expect(await codeOf(create(busybox(), "once"))).toBe("no error");
  });
});

describe("create", () => {
  test("refuses an image that is not here, in docker's words, and leaves nothing", async () => {
    expect(create({ Image: "nope" })).rejects.toThrow("No such image: nope:latest");
    expect(create({ Image: "r/x:1" })).rejects.toThrow("No such image: r/x:1");
    await Bun.sleep(0);
    expect(readdirSync(world.layout.containers)).toEqual([]);
  });

  test("undoes everything when a step fails, and frees the name", async () => {
    const request = busybox({ HostConfig: { Mounts: [{ Type: "bind", Source: "/does/not/exist", Target: "/x" }] } });
    expect(create(request, "web")).rejects.toThrow("bind source path does not exist: /does/not/exist");
    await Bun.sleep(1);
    expect(readdirSync(world.layout.containers)).toEqual([]);
    expect(world.snapshotKeys.size).toBe(0);
    await create(busybox(), "web");
  });

  test("makes named volumes once and anonymous ones for itself; rm -v takes its own", async () => {
    const request = busybox({ Volumes: { "/cache": {} }, HostConfig: { Binds: ["data:/data:nocopy"] } });
    const [first, second] = [await create(request), await create(request)];
    const volumes = () => readdirSync(join(world.layout.root, "volumes")).length;
    expect(volumes()).toBe(3);
    await engine.containers.remove(first, { force: false, volumes: true, link: false });
    expect(volumes()).toBe(2);
    await engine.containers.remove(second, { force: false, volumes: false, link: false });
    expect(volumes()).toBe(2);
  });

  test("fills in what clients leave to the daemon", async () => {
    const id = await create(busybox({ Env: ["A=1"], HostConfig: { NetworkMode: "default" } }));
    const { Config, HostConfig, Path, NetworkSettings } = await engine.containers.inspect(id, { size: false });
    expect(HostConfig).toMatchObject({ NetworkMode: "bridge", Runtime: "tsd", LogConfig: { Type: "json-file" } });
    expect(Config).toMatchObject({ Hostname: id.slice(0, 12), Env: ["A=1", "PATH=/bin"] });
    expect(Path).toBe("sh");
    expect(Object.keys(NetworkSettings.Networks)).toEqual(["bridge"]);
  });

  test("that join another container's network have its names, and none of their own", async () => {
    const owner = await create(busybox({ Hostname: "owner", Domainname: "example" }));
    const joining = { HostConfig: { NetworkMode: `container:${owner}` } };
    const { Config } = await engine.containers.inspect(await create(busybox(joining)), { size: false });
    expect(Config).toMatchObject({ Hostname: "owner", Domainname: "example" });
    expect(create(busybox({ ...joining, Hostname: "own" }))).rejects.toThrow(
      "conflicting options: hostname and the network mode",
    );
  });

  test.each([
    [{ HostConfig: { Runtime: "none-such" } }, "unknown or invalid runtime name: none-such"],
    [{ HostConfig: { Memory: 4096 } }, "Minimum memory limit allowed is 6MB"],
    [{ HostConfig: { NetworkMode: "none-such" } }, "network none-such not found"],
    [{ HostConfig: { NetworkMode: "container:none-such" } }, "No such container: none-such"],
    [{ WorkingDir: "relative" }, "needs to be an absolute path"],
    [{ StopSignal: "SIGNOPE" }, "invalid signal: SIGNOPE"],
    [{ Env: ["=x"] }, "invalid environment variable: =x"],
  ])("refuses %j", async (request, message) => {
    expect(create(busybox(request))).rejects.toThrow(message);
  });
});

describe("the fast path", () => {
  const request = {
    create: busybox({ HostConfig: { AutoRemove: true } }),
    name: "fast",
    pull: "never" as const,
    attach: { stdin: false, stdout: true, stderr: true },
  };

  test("creates, attaches, starts and answers with the end; then nothing is left", async () => {
    const created: string[] = [];
    const session = await engine.containers.run(request, ({ Id }) => created.push(Id), never);
    expect(created).toEqual([session.id]);
    expect(await stateOf("fast")).toMatchObject({ Status: "running" });
    const output: Uint8Array[] = [];
    for await (const chunk of session.stream!.output) output.push(chunk);
    expect(Buffer.concat(output).toString()).toBe("output");
    world.shims[0]!.end({ exitCode: 3 });
    expect(await session.exited).toEqual({ StatusCode: 3 });
    expect(await codeOf(engine.containers.inspect("fast", { size: false }))).toBe("not_found");
    const again = await engine.containers.run(request, () => undefined, never);
    world.shims[1]!.end();
    await again.exited;
    // What is left is taken away after the answer.
    while (world.snapshotKeys.size > 0 || readdirSync(world.layout.containers).length > 0) await Bun.sleep(1);
    expect(existsSync(world.layout.container(session.id).state)).toBe(false);
  });

  test("a client that leaves between the end and the clean-up does not take the shim along, which is waited for", async () => {
    const client = new AbortController();
    const session = await engine.containers.run(request, () => undefined, client.signal);
    world.shims[0]!.end();
    await session.exited;
    client.abort();
    while (world.snapshotKeys.size > 0) await Bun.sleep(1);
    expect(world.shims[0]!.released).toBe(true);
  });

  test("a command that is not there is the start's error, and the container is gone", async () => {
    world.startFailure = new EngineError("command_not_found", "nope");
    expect(await codeOf(engine.containers.run(request, () => undefined, never))).toBe("command_not_found");
    await Bun.sleep(20);
    expect(await engine.containers.list({ all: true, size: false, filters: {} })).toEqual([]);
    expect(world.snapshotKeys.size).toBe(0);
  });
});

describe("a daemon after one that was killed", () => {
  test("takes over what runs, and hears of its end", async () => {
    const id = await started();
    await Bun.sleep(15);
    engine = await world.open();
    expect(await stateOf(id)).toMatchObject({ Status: "running" });
    const inspected = await engine.containers.inspect(id, { size: false });
    expect(inspected.NetworkSettings.Networks.bridge!.IPAddress).toBe("172.28.0.2");
    world.shims[0]!.end({ exitCode: 9 });
    const { exited } = await engine.containers.wait(id, "not-running", never);
    expect(await exited).toEqual({ StatusCode: 9 });
  });

  test("takes over a start whose success was not yet on record", async () => {
    const session = await engine.containers.run(
      { create: busybox(), pull: "never", attach: { stdin: false, stdout: false, stderr: false } },
      () => undefined,
      never,
    );
    engine = await world.open();
    expect(await stateOf(session.id)).toMatchObject({ Status: "running", Pid: process.pid });
  });

  test("reads from the shim's record how a container ended meanwhile", async () => {
    const id = await started();
    const shim = world.shims[0]!;
    // The first daemon is gone before it hears of anything: its shim ends and leaves its record alone.
    shim.isClosed = true;
    mkdirSync(shim.container!.stateDir, { recursive: true });
    await Bun.write(
      join(shim.container!.stateDir, "exit.json"),
      JSON.stringify({
        exitCode: 143,
        signal: "SIGTERM",
        oomKilled: false,
        finishedAt: "2026-01-01T00:00:00Z",
        pid: 1,
      }),
    );
    engine = await world.open();
    expect(await stateOf(id)).toMatchObject({
      Status: "exited",
      ExitCode: 143,
      FinishedAt: "2026-01-01T00:00:00Z",
      Error: "",
    });
    expect(world.networks.attached.size).toBe(0);
  });

  test("records an end that nobody saw as unknown, 255, and ends what is left of the container", async () => {
    const id = await started();
    world.shims[0]!.isClosed = true;
    engine = await world.open();
    expect(await stateOf(id)).toMatchObject({
      Status: "exited",
      ExitCode: 255,
      Error: "exit status unknown: the container's shim was killed",
    });
    expect(world.killedCgroups).toContain(`/tsd-test/${id}`);
  });

  test("removes what was to be removed, and what has no record", async () => {
    const session = await engine.containers.run(
      {
        create: busybox({ HostConfig: { AutoRemove: true } }),
        pull: "never",
        attach: { stdin: false, stdout: false, stderr: false },
      },
      () => undefined,
      never,
    );
    world.shims[0]!.isClosed = true;
    const stranger = "f".repeat(64);
    mkdirSync(join(world.layout.containers, stranger));
    world.snapshotKeys.add(stranger);
    engine = await world.open();
    expect(await engine.containers.list({ all: true, size: false, filters: {} })).toEqual([]);
    expect(readdirSync(world.layout.containers)).toEqual([]);
    expect(world.snapshotKeys.size).toBe(0);
    expect(world.killedCgroups).toEqual(expect.arrayContaining([`/tsd-test/${session.id}`, `/tsd-test/${stranger}`]));
  });
});

test.each([true, false])(
  "what a shim left that was killed after it told of the end is cleared away (known by then: %p)",
  async (isKnown) => {
    const id = await started();
    const shim = world.shims[0]!;
    mkdirSync(join(world.layout.runtime, id), { recursive: true });
    shim.release = () => Promise.reject(new EngineError("unavailable", "the shim is gone"));
    shim.isClosed = isKnown;
    shim.end();
    await Bun.sleep(1);
    expect(world.killedCgroups).toEqual([`/tsd-test/${id}`]);
    expect(existsSync(join(world.layout.runtime, id))).toBe(false);
  },
);

test("a shim that is killed in the middle of a start takes along what it has made of the container", async () => {
  world.startFailure = new EngineError("unavailable", "the shim is gone");
  const { Id: id } = await engine.containers.create(busybox(), {});
  await expect(engine.containers.start(id)).rejects.toThrow("the shim is gone");
  expect(world.killedCgroups).toEqual([`/tsd-test/${id}`]);
  expect(world.networks.attached.size).toBe(0);
  world.startFailure = undefined;
  await engine.containers.start(id);
});

test("a shim that is killed under a running daemon is an unknown end, at once", async () => {
  const id = await started();
  const { exited } = await engine.containers.wait(id, "not-running", never);
  mkdirSync(join(world.layout.runtime, id), { recursive: true });
  world.shims[0]!.die();
  expect(await exited).toEqual({
    StatusCode: 255,
    Error: { Message: "exit status unknown: the container's shim was killed" },
  });
  expect(world.killedCgroups).toEqual([`/tsd-test/${id}`]);
  expect(world.unmounted).toEqual([world.layout.container(id).rootfs]);
  expect(existsSync(join(world.layout.runtime, id))).toBe(false);
});

describe("exec", () => {
  test("runs in a running container and keeps its exit status", async () => {
    const container = await started();
    const { Id } = await engine.exec.create(container, { Cmd: ["sh", "-c", "exit 3"], AttachStdout: true });
    expect(await engine.exec.inspect(Id)).toMatchObject({ Running: false, ExitCode: null });
    expect(await codeOf(engine.exec.checkStart(Id))).toBe("no error");
    const stream = await engine.exec.start(Id, {}, never);
    for await (const _ of stream.output);
    await Bun.sleep(0);
    expect(await engine.exec.inspect(Id)).toMatchObject({ Running: false, ExitCode: 3, ContainerID: container });
    expect(await codeOf(engine.exec.start(Id, {}, never))).toBe("conflict");
    expect(await codeOf(engine.exec.checkStart(Id))).toBe("conflict");
  });

  test("is resized as soon as it runs, by a client that was answered before", async () => {
    const { Id } = await engine.exec.create(await started(), { Cmd: ["sh"], Tty: true, AttachStdout: true });
    const size = { rows: 5, columns: 6 };
    expect(await codeOf(engine.exec.resize(Id, size))).toBe("conflict");
    const start = engine.exec.start(Id, {}, never);
    expect(await codeOf(engine.exec.resize(Id, size))).toBe("no error");
    await start;
  });

  test("is refused where nothing runs, without a command, and when the command is not there", async () => {
    const idle = await create();
    expect(await codeOf(engine.exec.create(idle, { Cmd: ["x"] }))).toBe("conflict");
    const container = await started();
    expect(await codeOf(engine.exec.create(container, { Cmd: [] }))).toBe("invalid_argument");
    const { Id } = await engine.exec.create(container, { Cmd: ["nope"] });
    world.startFailure = new EngineError("command_not_found", "nope");
    expect(await codeOf(engine.exec.startDetached(Id, {}))).toBe("command_not_found");
    expect(await engine.exec.inspect(Id)).toMatchObject({ ExitCode: 127 });
  });
});

test("events tell a container's life in docker's words and order", async () => {
  const controller = new AbortController();
  const events = engine.events.subscribe({}, controller.signal);
  const id = await started(busybox({ Labels: { tier: "web" } }));
  world.shims[0]!.end({ exitCode: 2 });
  await Bun.sleep(1);
  await engine.containers.remove(id, { force: false, volumes: false, link: false });
  controller.abort();
  const seen: EventMessage[] = [];
  for await (const event of events) seen.push(event);
  expect(seen.map(({ Type, Action }) => `${Type} ${Action}`)).toEqual([
    "container create",
    "network connect",
    "container start",
    "container die",
    "network disconnect",
    "container destroy",
  ]);
  expect(seen[3]!.Actor).toMatchObject({ ID: id, Attributes: { exitCode: "2", image: "busybox", tier: "web" } });
});

describe("list", () => {
  test("shows what runs, newest first; all with all; filters by name, status and label", async () => {
    const first = await started(busybox({ Labels: { a: "1" } }));
    const second = await create(busybox(), "second");
    const ids = async (options: { all?: boolean; limit?: number; filters?: Record<string, string[]> }) => {
      const rows = await engine.containers.list({ all: false, size: false, filters: {}, ...options });
      return rows.map(({ Id }) => Id);
    };
    expect(await ids({})).toEqual([first]);
    expect(await ids({ all: true })).toEqual([second, first]);
    expect(await ids({ limit: 1 })).toEqual([second]);
    expect(await ids({ filters: { status: ["created"] } })).toEqual([second]);
    expect(await ids({ all: true, filters: { name: ["^/sec"] } })).toEqual([second]);
    expect(await ids({ all: true, filters: { label: ["a=1"] } })).toEqual([first]);
    expect(await ids({ all: true, filters: { ancestor: ["busybox"] } })).toEqual([second, first]);
    expect(await ids({ all: true, filters: { since: [first] } })).toEqual([second]);
    expect(await codeOf(ids({ filters: { status: ["asleep"] } }))).toBe("invalid_argument");
  });

  test("an ambiguous beginning of an id is refused", async () => {
    await create();
    await create();
    expect(await codeOf(engine.containers.inspect("", { size: false }))).toBe("not_found");
  });
});
