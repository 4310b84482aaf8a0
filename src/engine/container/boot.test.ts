import { afterEach, beforeEach, expect, test } from "bun:test";
import type { HostConfig } from "../../api/schema/container-config.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";

let world: FakeWorld;
let engine: Engine;
let bootedNano: bigint;

beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(async () => {
  await engine.close();
  world[Symbol.dispose]();
});

const RestartPolicy = { Name: "always" };

interface Made extends HostConfig {
  /** What compose notes that the service depends on. */
  dependsOn?: string;
}

/** Containers that have run and were stopped: a daemon that is started starts them. */
async function stopped(containers: Record<string, Made>): Promise<void> {
  for (const [name, { dependsOn, ...host }] of Object.entries(containers)) {
    const Labels = {
      "com.docker.compose.project": "p",
      "com.docker.compose.service": name.replace(/\d$/, ""),
      ...(dependsOn !== undefined && { "com.docker.compose.depends_on": dependsOn }),
    };
    await engine.containers.create(busybox({ Labels, HostConfig: { RestartPolicy, ...host } }), { name });
    await engine.containers.start(name);
  }
  for (const name of Object.keys(containers).reverse()) await engine.containers.stop(name, {});
}

/** The next daemon. */
async function boot(): Promise<void> {
  await engine.close();
  bootedNano = BigInt(Date.now()) * 1_000_000n;
  engine = await world.open();
}

const idOf = async (name: string) => (await engine.containers.inspect(name, { size: false })).Id;
const status = async (name: string) => (await engine.containers.inspect(name, { size: false })).State.Status;

async function becomes(name: string, wanted: string): Promise<void> {
  while ((await status(name)) !== wanted) await Bun.sleep(1);
}

/** The containers in the order in which this daemon has started them. */
async function starts(count: number): Promise<string[]> {
  const names: string[] = [];
  for await (const { Action, Actor } of engine.events.subscribe(
    { sinceNano: bootedNano },
    new AbortController().signal,
  )) {
    if (Action === "start") names.push(Actor.Attributes.name!);
    if (names.length === count) break;
  }
  return names;
}

test("what a service depends on is started before it, whoever was made first, all containers of it", async () => {
  await stopped({
    web: { dependsOn: "api:service_started:false" },
    api: { dependsOn: "db:service_started:true,cache:service_started:false,gone:service_healthy:false" },
    db1: {},
    db2: {},
    cache: { dependsOn: "db" },
  });
  await boot();
  const order = await starts(5);
  expect(order.slice(0, 2).sort()).toEqual(["db1", "db2"]);
  expect(order.slice(2)).toEqual(["cache", "api", "web"]);
});

test("so are those whose namespaces, links and volumes it has", async () => {
  await stopped({
    owner: {},
    linked: {},
    data: {},
    net: { NetworkMode: "container:owner" },
    link: { Links: ["linked:alias"] },
    volumes: { VolumesFrom: ["data:ro"] },
    pid: { PidMode: "container:net" },
  });
  // Those that others need take the longest.
  const slow = await Promise.all(["owner", "linked", "data"].map(idOf));
  world.beforeRun = (id) => (slow.includes(id) ? Bun.sleep(10) : undefined);
  await boot();
  const order = await starts(7);
  for (const [first, then] of [
    ["owner", "net"],
    ["net", "pid"],
    ["linked", "link"],
    ["data", "volumes"],
  ] as const) {
    expect([first, then, order.indexOf(first) < order.indexOf(then)]).toEqual([first, then, true]);
  }
});

test("of those that depend on each other in a circle all are started", async () => {
  await stopped({ web: { dependsOn: "api,web" }, api: { dependsOn: "db" }, db: { dependsOn: "web" } });
  await boot();
  expect(await starts(3)).toEqual(["db", "api", "web"]);
});

test("those that cannot be started without each other are not, and have the reason: nobody waits for ever", async () => {
  const names = ["web", "db"];
  const make = async (name: string, Links: string[]) => {
    await engine.containers.create(busybox({ HostConfig: { RestartPolicy, Links } }), { name });
    await engine.containers.start(name);
  };
  await make("db", []);
  await make("web", ["db"]);
  await engine.containers.remove("db", { force: true, volumes: false, link: false });
  await make("db", ["web"]);
  for (const name of names) await engine.containers.stop(name, {});
  await boot();
  for (const name of names) await becomes(name, "exited");
  const failures = names.map(async (name) => (await engine.containers.inspect(name, { size: false })).State.Error);
  expect(await Promise.all(failures)).toEqual(Array(2).fill(expect.stringContaining("non running container")));
});

test("one that cannot be started keeps nobody that depends on it", async () => {
  await stopped({ db: {}, web: { dependsOn: "db" } });
  const db = await idOf("db");
  world.beforeRun = (id) => {
    if (id === db) throw new Error("no room");
  };
  await boot();
  expect(await starts(1)).toEqual(["web"]);
  expect(await status("db")).toBe("exited");
});

test("what has to be done first is waited for to its end; the next daemon goes on waiting", async () => {
  await stopped({ migrate: {}, web: { dependsOn: "migrate:service_completed_successfully:false" } });
  await engine.containers.update("migrate", { RestartPolicy: { Name: "on-failure" } });
  await engine.containers.start("migrate");
  await boot();
  await becomes("web", "restarting");
  await boot();
  await Bun.sleep(20);
  expect([await status("migrate"), await status("web")]).toEqual(["running", "restarting"]);
  await engine.containers.stop("migrate", {});
  await becomes("web", "running");
});

test("one that waits for its turn stays as it is when somebody stops it", async () => {
  await stopped({ migrate: {}, web: { dependsOn: "migrate:service_completed_successfully:false" } });
  await engine.containers.start("migrate");
  await boot();
  await becomes("web", "restarting");
  await engine.containers.stop("web", {});
  await engine.containers.stop("migrate", {});
  await Bun.sleep(20);
  expect(await status("web")).toBe("exited");
});

test("containers that run are left alone", async () => {
  await stopped({ db: {}, web: { dependsOn: "db" } });
  await engine.containers.start("web");
  const shim = world.shims.at(-1)!;
  await boot();
  await becomes("db", "running");
  expect([await status("web"), shim.signals, shim.isClosed]).toEqual(["running", [], false]);
});
