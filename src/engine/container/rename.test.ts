import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { EventMessage } from "../../api/schema/event.ts";
import { EngineError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { refusal } from "../testing/refusal.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(() => world[Symbol.dispose]());

async function create(name: string, HostConfig = {}): Promise<string> {
  return (await engine.containers.create(busybox({ HostConfig }), { name })).Id;
}

async function running(name: string, HostConfig = {}): Promise<string> {
  const id = await create(name, HostConfig);
  await engine.containers.start(id);
  return id;
}

async function userNetwork(): Promise<void> {
  await world.networks.create({ name: "net", labels: {}, options: {}, configOnly: false, subnets: [{}] } as never);
}

const inspect = (reference: string) => engine.containers.inspect(reference, { size: false });

/** By what others on the network find it. */
function namesOf(id: string): string[] | undefined {
  return world.networks.sandbox(id)?.endpoints.find(({ networkName }) => networkName === "net")?.names;
}

describe("rename", () => {
  test("gives a container another name and frees the one before, over a restart of the daemon too", async () => {
    const id = await create("old");
    const events: EventMessage[] = [];
    const stream = engine.events.subscribe({}, new AbortController().signal);
    void (async () => {
      for await (const event of stream) events.push(event);
    })();
    await engine.containers.rename("old", "/new");
    expect(await inspect("new")).toMatchObject({ Id: id, Name: "/new" });
    await Bun.sleep(0);
    expect(events.at(-1)).toMatchObject({ Action: "rename", Actor: { Attributes: { name: "new", oldName: "/old" } } });
    const other = await create("old");
    engine = await world.open();
    expect((await inspect("new")).Id).toBe(id);
    expect((await inspect("old")).Id).toBe(other);
  });

  test("is refused in docker's words, and changes nothing then", async () => {
    const id = await create("web");
    const other = await create("other");
    const rename = (name: string) => refusal(engine.containers.rename("web", name));
    const [empty, same] = ["Neither old nor new names may be empty", "with the same name as its current name"];
    expect(await rename("")).toEqual(["invalid_argument", empty]);
    expect(await rename("/")).toEqual(["invalid_argument", empty]);
    expect(await rename("/web")).toEqual(["invalid_argument", `Renaming a container ${same}`]);
    expect(await rename("a b")).toEqual([
      "invalid_argument",
      "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    ]);
    expect(await rename("other")).toEqual([
      "already_exists",
      `Error when allocating new name: Conflict. The container name "/other" is already in use by container "${other}". ` +
        "You have to remove (or rename) that container to be able to reuse that name.",
    ]);
    expect((await inspect("web")).Id).toBe(id);
  });

  test("two at once to one name: one has it", async () => {
    await create("one");
    await create("two");
    const renames = ["one", "two"].map((name) => engine.containers.rename(name, "won"));
    const results = await Promise.allSettled(renames);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });
});

describe("on a network with names", () => {
  beforeEach(userNetwork);

  test("others find a running container by its new name", async () => {
    const id = await running("old", { NetworkMode: "net" });
    expect(namesOf(id)).toEqual(["old", id.slice(0, 12)]);
    await engine.containers.rename("old", "new");
    expect(namesOf(id)).toEqual(["new", id.slice(0, 12)]);
    expect((await inspect("new")).NetworkSettings.Networks.net!.DNSNames).toEqual(["new", id.slice(0, 12)]);
  });

  test("a name that cannot be made known is not the container's", async () => {
    const id = await running("old", { NetworkMode: "net" });
    world.networks.failure = new EngineError("unavailable", "no resolver");
    expect(await refusal(engine.containers.rename("old", "new"))).toEqual(["unavailable", "no resolver"]);
    expect((await inspect("old")).Id).toBe(id);
    world.networks.failure = undefined;
    await create("new");
  });

  test("a rename that fails is undone whoever wanted the name meanwhile, and one that succeeds gives it up", async () => {
    const id = await running("old", { NetworkMode: "net" });
    const wanted: Promise<unknown>[] = [];
    const rename = world.networks.rename.bind(world.networks);
    world.networks.rename = async () => {
      wanted.push(refusal(create("old")));
      await Promise.all(wanted);
      throw new EngineError("unavailable", "no resolver");
    };
    expect(await refusal(engine.containers.rename("old", "new"))).toEqual(["unavailable", "no resolver"]);
    expect(await wanted[0]).toEqual(["already_exists", expect.stringContaining('"/old" is already in use')]);
    expect(await inspect("old")).toMatchObject({ Id: id, Name: "/old" });
    world.networks.rename = rename;
    await engine.containers.rename("old", "new");
    await create("old");
  });

  test("a daemon that follows one that was killed in between makes the name known", async () => {
    const id = await running("old", { NetworkMode: "net" });
    world.networks.attached.get(id)!.endpoints[0]!.names = ["older"];
    engine = await world.open();
    expect(namesOf(id)).toEqual(["old", id.slice(0, 12)]);
  });
});

describe("links", () => {
  test("lead to the container whatever it is called, and none to whoever gets its name", async () => {
    await running("db");
    const id = await running("web", { Links: ["db:store"] });
    const hosts = () => readFileSync(world.layout.container(id).hosts, "utf8");
    expect(hosts()).toMatch(/\tstore [0-9a-f]{12} db\n/);
    await engine.containers.rename("db", "base");
    expect((await inspect("web")).HostConfig.Links).toEqual(["/base:/web/store"]);
    expect(hosts()).toMatch(/\tstore [0-9a-f]{12} base\n/);
    expect(hosts()).not.toContain(" db\n");
    await create("db");
    engine = await world.open();
    expect((await inspect("web")).HostConfig.Links).toEqual(["/base:/web/store"]);
  });

  test("show the new name of the container that has them", async () => {
    await create("db");
    await create("web", { Links: ["db:store"] });
    await engine.containers.rename("web", "site");
    expect((await inspect("site")).HostConfig.Links).toEqual(["/db:/site/store"]);
  });
});
