import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { refusal } from "../testing/refusal.ts";

let world: FakeWorld;
let engine: Engine;
let actions: string[];
const never = new AbortController().signal;

beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
  actions = [];
  const events = engine.events.subscribe({}, never);
  void (async () => {
    for await (const { Type, Action } of events) if (Type === "container") actions.push(Action);
  })();
});
afterEach(() => world[Symbol.dispose]());

async function running(): Promise<string> {
  const { Id } = await engine.containers.create(busybox(), { name: "web" });
  await engine.containers.start(Id);
  return Id;
}

const exited = async () => (await engine.containers.inspect("web", { size: false })).State;

describe("a checkpoint", () => {
  test("ends the container, or lets it go on, and is what it can be started from", async () => {
    const id = await running();
    const waited = await engine.containers.wait("web", "not-running", never);
    await engine.checkpoints.create("web", { name: "first" }, { leaveRunning: true });
    expect((await exited()).Running).toBe(true);
    await engine.checkpoints.create("web", { name: "second" }, { leaveRunning: false });
    expect((await waited.exited).StatusCode).toBe(137);
    expect(await engine.checkpoints.list("web")).toEqual(["first", "second"]);
    await engine.checkpoints.start("web", { name: "second" });
    const { restore } = world.shims.at(-1)!.container!;
    expect(restore!.images).toEndWith(`/containers/${id}/checkpoints/second`);
    expect((await exited()).Running).toBe(true);
    await engine.checkpoints.remove("web", { name: "second" });
    expect(await engine.checkpoints.list("web")).toEqual(["first"]);
    await Bun.sleep(0);
    expect(actions).toEqual(["create", "start", "checkpoint", "die", "checkpoint", "start"]);
  });

  test("may be elsewhere; what is not whole there is none, and what is no directory", async () => {
    await running();
    const directory = join(world.layout.root, "elsewhere");
    await engine.checkpoints.create("web", { name: "c1", directory }, { leaveRunning: true });
    expect(existsSync(join(directory, "c1"))).toBe(true);
    mkdirSync(join(directory, ".c2.unfinished"));
    writeFileSync(join(directory, "file"), "");
    mkdirSync(join(directory, "photographs"));
    expect(await engine.checkpoints.list("web", directory)).toEqual(["c1"]);
    expect(await engine.checkpoints.list("web")).toEqual([]);
    // Of somebody else's directory nothing is removed, whatever it is called.
    expect(await refusal(engine.checkpoints.remove("web", { name: "photographs", directory }))).toEqual([
      "not_found",
      "checkpoint photographs does not exist for container web",
    ]);
    expect(existsSync(join(directory, "photographs"))).toBe(true);
  });

  test("is removed whole or not at all: what a killed daemon has begun to remove is none", async () => {
    const id = await running();
    const { checkpoints } = world.layout.container(id);
    for (const name of ["c1", "c2"]) await engine.checkpoints.create("web", { name }, { leaveRunning: true });
    renameSync(join(checkpoints, "c1"), join(checkpoints, ".c1.removed"));
    expect(await engine.checkpoints.list("web")).toEqual(["c2"]);
    await engine.checkpoints.create("web", { name: "c1" }, { leaveRunning: true });
    const both = [0, 1].map(() => refusal(engine.checkpoints.remove("web", { name: "c1" })));
    expect(await Promise.all(both)).toEqual([
      ["no error", ""],
      ["not_found", "checkpoint c1 does not exist for container web"],
    ]);
    expect(readdirSync(checkpoints)).toEqual(["c2"]);
  });

  test("is refused in docker's words", async () => {
    const id = await running();
    const create = (name: string, directory?: string) =>
      refusal(engine.checkpoints.create("web", { name, directory }, { leaveRunning: true }));
    expect(await create("../x")).toEqual([
      "invalid_argument",
      "Invalid checkpoint ID (../x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    ]);
    expect(await create("c1", "here")).toEqual([
      "invalid_argument",
      "checkpoint directory here: it has to be absolute",
    ]);
    await engine.checkpoints.create("web", { name: "c1" }, { leaveRunning: true });
    expect(await create("c1")).toEqual([
      "conflict",
      "cannot checkpoint container web: checkpoint with name c1 already exists for container web",
    ]);
    world.checkpointFailure = new EngineError("unsupported", "criu is not installed");
    expect(await create("c2")).toEqual(["unsupported", "cannot checkpoint container web: criu is not installed"]);
    expect((await exited()).Running).toBe(true);
    expect(await refusal(engine.checkpoints.remove("web", { name: "c2" }))).toEqual([
      "not_found",
      "checkpoint c2 does not exist for container web",
    ]);
    expect(await refusal(engine.checkpoints.start("web", { name: "c1" }))).toEqual([
      "not_modified",
      "container web is already running",
    ]);
    await engine.containers.kill("web", "KILL");
    await (await engine.containers.wait("web", "not-running", never)).exited;
    expect(await create("c3")).toEqual(["conflict", `container ${id} is not running`]);
    expect(await refusal(engine.checkpoints.start("web", { name: "nope" }))).toEqual([
      "not_found",
      "checkpoint nope does not exist for container web",
    ]);
  });

  test("of a container with users of its own is refused: criu could not put its root together again", async () => {
    const { Id } = await engine.containers.create(busybox({ HostConfig: { UsernsMode: "auto" } }), { name: "users" });
    await engine.containers.start(Id);
    const [code, message] = await refusal(engine.checkpoints.create("users", { name: "c1" }, { leaveRunning: true }));
    expect([code, message]).toEqual([
      "unsupported",
      "cannot checkpoint container users: it has a user namespace of its own, which criu cannot restore",
    ]);
  });
});
