import { afterEach, beforeEach, describe, expect, test } from "bun:test";
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
  await open();
});
afterEach(() => world[Symbol.dispose]());

/** Also in the place of an engine that was killed: it left its records, and the shims. */
async function open(): Promise<void> {
  engine = await world.open();
  actions = [];
  const events = engine.events.subscribe({}, never);
  void (async () => {
    for await (const { Type, Action } of events) if (Type === "container") actions.push(Action);
  })();
}

async function running(request = busybox()): Promise<string> {
  const { Id } = await engine.containers.create(request, { name: "web" });
  await engine.containers.start(Id);
  return Id;
}

async function state() {
  const { Status, Paused, Running } = (await engine.containers.inspect("web", { size: false })).State;
  return { Status, Paused, Running };
}

const going = { Status: "running", Paused: false, Running: true };
const still = { Status: "paused", Paused: true, Running: true };

describe("pause", () => {
  test("stops a container's processes, shows it, and lets them go on", async () => {
    const id = await running();
    await engine.containers.pause("web");
    expect(world.shims[0]!.paused).toBe(true);
    expect(await state()).toMatchObject(still);
    const [row] = await engine.containers.list({ all: false, size: false, filters: { status: ["paused"] } });
    expect(row).toMatchObject({ Id: id, State: "paused" });
    expect(row!.Status).toEndWith(" (Paused)");
    await engine.containers.unpause("web");
    expect(world.shims[0]!.paused).toBe(false);
    expect(await state()).toMatchObject(going);
    await Bun.sleep(0);
    expect(actions).toEqual(["create", "start", "pause", "unpause"]);
  });

  test("says in docker's words what cannot be done to a container that stands still, or goes", async () => {
    const id = await running();
    expect(await refusal(engine.containers.unpause("web"))).toEqual(["conflict", `Container ${id} is not paused`]);
    await engine.containers.pause("web");
    expect(await refusal(engine.containers.pause("web"))).toEqual(["conflict", `Container ${id} is already paused`]);
    expect(await refusal(engine.containers.start("web"))).toEqual([
      "conflict",
      "cannot start a paused container, try unpause instead",
    ]);
    expect(await refusal(engine.exec.create("web", { Cmd: ["true"] }))).toEqual([
      "conflict",
      "Container web is paused, unpause the container before exec",
    ]);
    const streams = { stdin: false, stdout: true, stderr: true, logs: false, stream: true };
    expect(await refusal(engine.containers.attach("web", streams, never))).toEqual([
      "conflict",
      "Container web is paused, unpause the container before attach",
    ]);
    expect(await refusal(engine.containers.remove("web", { force: false, volumes: false, link: false }))).toEqual([
      "conflict",
      'cannot remove container "web": container is paused and must be unpaused first',
    ]);
    await engine.containers.kill("web", "KILL");
    expect(await refusal(engine.containers.pause("web"))).toEqual(["conflict", `container ${id} is not running`]);
  });

  test("an exec that was created before does not start while its container stands still", async () => {
    await running();
    const { Id } = await engine.exec.create("web", { Cmd: ["true"] });
    await engine.containers.pause("web");
    expect((await refusal(engine.exec.startDetached(Id, {})))[0]).toBe("conflict");
    await engine.containers.unpause("web");
    await engine.exec.startDetached(Id, {});
  });

  test("is undone when the processes cannot be stopped", async () => {
    const id = await running();
    world.shims[0]!.pause = () => Promise.reject(new EngineError("timeout", "process 7 does not stop"));
    expect(await refusal(engine.containers.pause("web"))).toEqual([
      "timeout",
      `Cannot pause container ${id}: process 7 does not stop`,
    ]);
    expect(await state()).toMatchObject(going);
    expect(actions).not.toContain("pause");
  });

  test("of a container that ends in that moment is refused as of one that has ended", async () => {
    const id = await running();
    const shim = world.shims[0]!;
    shim.pause = () => {
      shim.end();
      return Promise.reject(new EngineError("internal", "no such cgroup"));
    };
    expect(await refusal(engine.containers.pause("web"))).toEqual(["conflict", `container ${id} is not running`]);
  });

  test("a container that cannot be let go on stays paused", async () => {
    const id = await running();
    await engine.containers.pause("web");
    world.shims[0]!.resume = () => Promise.reject(new EngineError("internal", "no freezer"));
    expect(await refusal(engine.containers.unpause("web"))).toEqual([
      "internal",
      `Cannot unpause container ${id}: no freezer`,
    ]);
    expect(await state()).toMatchObject(still);
  });
});

describe("a signal to a container that stands still", () => {
  test("lets it go on when it is to end it, and waits for that otherwise", async () => {
    world.obeysTerm = false;
    await running(busybox({ StopSignal: "SIGUSR1" }));
    await engine.containers.pause("web");
    await engine.containers.kill("web", "TERM");
    expect(await state()).toMatchObject(still);
    await engine.containers.kill("web", "USR1");
    expect(await state()).toMatchObject(going);
    expect(world.shims[0]!.signals).toEqual([15, 10]);
  });

  test("stop and rm -f end it", async () => {
    await running();
    await engine.containers.pause("web");
    await engine.containers.stop("web", {});
    expect(await state()).toMatchObject({ Status: "exited", Paused: false });
    await engine.containers.start("web");
    await engine.containers.pause("web");
    await engine.containers.remove("web", { force: true, volumes: false, link: false });
    expect(await refusal(engine.containers.inspect("web", { size: false }))).toEqual([
      "not_found",
      "No such container: web",
    ]);
  });
});

describe("after a daemon that was killed", () => {
  test("what a user had paused is paused still", async () => {
    await running();
    await engine.containers.pause("web");
    await open();
    expect(await state()).toMatchObject(still);
    await engine.containers.unpause("web");
    expect(world.shims[0]!.paused).toBe(false);
  });

  test("a pause that did not come to pass is none", async () => {
    await running();
    await engine.containers.pause("web");
    world.shims[0]!.paused = false;
    await open();
    expect(await state()).toMatchObject(going);
  });

  test("what nobody was told of, or a commit had paused, goes on", async () => {
    await running();
    world.shims[0]!.paused = true;
    await open();
    expect(world.shims[0]!.paused).toBe(false);
    expect(await state()).toMatchObject(going);
  });
});
