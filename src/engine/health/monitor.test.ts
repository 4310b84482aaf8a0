/** The engine over fake shims, whose containers have this process's network: ports that are probed are its own. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { openDatabase } from "../../core/database.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { HealthTable } from "./table.ts";

let world: FakeWorld;
let engine: Engine;
const engines: Engine[] = [];
beforeEach(async () => {
  world = new FakeWorld();
  await open();
});
afterEach(async () => {
  for (const each of engines.splice(0)) await each.close();
  world[Symbol.dispose]();
});

/** Also in the place of an engine that was killed. */
async function open(): Promise<void> {
  engine = await world.open();
  engines.push(engine);
}

/** Nobody listens there. */
const closedPort = "1";

/** Starts a container that is asked every millisecond. */
async function running(check: object, config: object = {}): Promise<string> {
  const Healthcheck = { TCP: closedPort, Interval: 1e6, Retries: 1, ...check };
  const { Id } = await engine.containers.create({ ...busybox(), Healthcheck, ...config }, { name: "web" });
  await engine.containers.start(Id);
  return Id;
}

async function state() {
  return (await engine.containers.inspect("web", { size: false })).State;
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`${what}: not within 5 s`);
    await Bun.sleep(1);
  }
}

const everything = { all: true, filters: {}, size: false };
const isUnhealthy = async () => (await state()).Health?.Status === "unhealthy";

/** What is on record of containers' health. */
function stored<T>(use: (table: HealthTable) => T): T {
  using database = openDatabase(world.layout.database, []);
  return use(new HealthTable(database));
}

test("what is to be done to an unhealthy container is on record before it is begun, and finished by the next daemon", async () => {
  world.obeysTerm = false;
  const id = await running({ OnFailure: "restart" }, { StopTimeout: 1000 });
  const [shim] = world.shims;
  await until("it is being stopped", () => shim!.signals.includes(15));
  const due = stored((table) => table.all().get(id))!;
  expect(due).toMatchObject({ status: "unhealthy", due: "restart" });
  world.obeysTerm = true;
  shim!.end();
  await until("it runs again", async () => world.shims.length > 1 && (await state()).Running);
  await engine.containers.stop("web", {});
  // As if it had been killed in between.
  const Healthcheck = { TCP: closedPort, OnFailure: "restart" };
  const { Id: other } = await engine.containers.create({ ...busybox(), Healthcheck }, { name: "other" });
  await engine.containers.start(other);
  await engines.pop()!.close();
  stored((table) => table.store(new Map([id, other].map((each) => [each, due]))));
  const count = world.shims.length;
  world.shims.at(-1)!.end();
  await open();
  const { containers } = engine;
  const runs = async () => (await containers.inspect("other", { size: false })).State.Running;
  await until("it is started again", async () => world.shims.length > count && (await runs()));
  // That one has been stopped by hand since.
  expect((await state()).Status).toBe("exited");
});

test("one that was to be stopped, and has been, is not started; one that somebody stops is left alone", async () => {
  world.obeysTerm = false;
  await running({ OnFailure: "stop" }, { StopTimeout: 1000 });
  const [shim] = world.shims;
  await until("it is being stopped", () => shim!.signals.includes(15));
  shim!.end({ exitCode: 0 });
  await until("it has ended", async () => (await state()).Status === "exited");
  await open();
  expect(await state()).toMatchObject({ Status: "exited", Health: { Status: "unhealthy" } });
  await engine.containers.remove("web", { force: false, volumes: false, link: false });
  await running({ OnFailure: "restart", Retries: 3 }, { StopTimeout: 1000 });
  const stopping = engine.containers.stop("web", {});
  await until("it is unhealthy", isUnhealthy);
  expect(world.shims.at(-1)!.signals).toEqual([15]);
  world.shims.at(-1)!.end({ exitCode: 0 });
  await stopping;
  expect((await state()).Status).toBe("exited");
});

test("who stops a container that is being restarted for its health has the last word", async () => {
  world.obeysTerm = false;
  for (const AutoRemove of [false, true]) {
    const restarting = await running({ OnFailure: "restart" }, { StopTimeout: 1000, HostConfig: { AutoRemove } });
    const shim = world.shims.at(-1)!;
    await until("it is being stopped", () => shim.signals.includes(15));
    const stopping = engine.containers.stop(restarting, {});
    shim.end({ exitCode: 0 });
    await stopping;
    if (AutoRemove) {
      await until("it is removed", async () => (await engine.containers.list(everything)).length === 0);
    } else {
      await until("nothing is due any more", () => stored((table) => table.all().get(restarting)!.due) === undefined);
      expect((await state()).Status).toBe("exited");
      await engine.containers.remove("web", { force: false, volumes: false, link: false });
    }
    expect(world.shims.at(-1)).toBe(shim);
  }
});

test("a clock that is put back keeps nobody from being asked", async () => {
  const id = await running({ TCP: closedPort, Interval: 20e6, Retries: 1000 });
  await until("it fails", async () => (await state()).Health!.FailingStreak > 0);
  await engines.pop()!.close();
  const later = new Date(Date.now() + 3_600_000).toISOString();
  const log = [{ Start: later, End: later, ExitCode: 1, Output: "" }];
  stored((table) => table.store(new Map([[id, { status: "unhealthy", failingStreak: 1, log }]])));
  await open();
  await until("it is asked again", async () => (await state()).Health!.FailingStreak > 1);
});

test("a container that is not asked costs nothing, and one that is removed leaves nothing", async () => {
  const rows = () => stored((table) => table.all().size);
  await running({ TCP: "" });
  expect([await state(), rows()]).toEqual([expect.not.objectContaining({ Health: expect.anything() }), 0]);
  await engine.containers.remove("web", { force: true, volumes: false, link: false });
  await running({});
  await until("it is unhealthy", isUnhealthy);
  expect(rows()).toBe(1);
  await engine.containers.remove("web", { force: true, volumes: false, link: false });
  expect(rows()).toBe(0);
});

test("health goes from one daemon to the next: what it was, the failures in a row and what was said", async () => {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  await running({ TCP: `${server.port}`, Interval: 50e6, Retries: 1000 });
  await until("it is healthy", async () => (await state()).Health?.Status === "healthy");
  server.stop(true);
  await until("it fails", async () => (await state()).Health!.FailingStreak > 0);
  // With the rest of what is only logged, within a second.
  await engines.pop()!.close();
  const before = (await state()).Health!;
  await open();
  expect((await state()).Health).toEqual(before);
  await until("it is asked again", async () => (await state()).Health!.FailingStreak > before.FailingStreak);
});
