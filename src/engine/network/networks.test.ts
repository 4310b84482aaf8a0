import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { EventMessage } from "../../api/schema/event.ts";
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

async function started(name: string, network: string): Promise<string> {
  const { Id } = await engine.containers.create(busybox({ HostConfig: { NetworkMode: network } }), { name });
  await engine.containers.start(Id);
  return Id;
}

function names(filters: Record<string, string[]>): Promise<string[]> {
  return engine.networks.list(filters).then((list) => list.map(({ Name }) => Name));
}

/** What has happened to networks so far. */
async function events(): Promise<Pick<EventMessage, "Action" | "Actor">[]> {
  const seen: Pick<EventMessage, "Action" | "Actor">[] = [];
  const past = engine.events.subscribe(
    { untilNano: BigInt(Date.now()) * 1_000_000n + 999_999n },
    new AbortController().signal,
  );
  for await (const { Type, Action, Actor } of past) if (Type === "network") seen.push({ Action, Actor });
  return seen;
}

describe("a network", () => {
  test("is asked for with all that the request has, and its warnings are handed on", async () => {
    const asked: unknown[] = [];
    const create = world.networks.create.bind(world.networks);
    world.networks.create = (request) => {
      asked.push(request);
      return create(request);
    };
    const { Id, Warning } = await engine.networks.create({
      Name: "net",
      EnableIPv6: false,
      IPAM: {
        Driver: "default",
        Config: [{ Subnet: "10.1.0.0/16", IPRange: "", AuxiliaryAddresses: { nas: "10.1.0.5" } }],
      },
      Internal: true,
      Options: { "com.docker.network.enable_ipv4": "true", mtu: "1400" },
      Labels: { a: "b" },
    });
    expect(asked).toEqual([
      {
        name: "net",
        driver: "bridge",
        enableIpv4: true,
        enableIpv6: false,
        subnets: [{ subnet: "10.1.0.0/16", auxiliaryAddresses: { nas: "10.1.0.5" } }],
        ipamDriver: "default",
        options: { "com.docker.network.enable_ipv4": "true", mtu: "1400" },
        labels: { a: "b" },
        internal: true,
        attachable: false,
        configOnly: false,
      },
    ]);
    expect(Warning).toBe("first\nsecond");
    expect(world.networks.find("net").id).toBe(Id);
  });

  test("of a swarm, and with an option that is no boolean, is refused", async () => {
    const overlay = { Name: "x", Driver: "overlay" };
    for (const request of [overlay, { Name: "x", Ingress: true }, { Name: "x", Scope: "swarm" }]) {
      const [code, message] = await refusal(engine.networks.create(request));
      expect([code, message]).toEqual(["forbidden", expect.stringContaining("This node is not a swarm manager")]);
    }
    expect(await refusal(engine.networks.create({ Name: "x", Scope: "galaxy" }))).toEqual([
      "invalid_argument",
      'invalid scope "galaxy": it is local',
    ]);
    const Options = { "com.docker.network.enable_ipv6": "maybe" };
    expect((await refusal(engine.networks.create({ Name: "x", Options })))[1]).toContain("is not a valid bool");
  });

  test("shows who runs on it, with Docker's options for the default bridge", async () => {
    const id = await started("web", "bridge");
    const seen = await engine.networks.inspect("bridge", {});
    expect(seen.Containers).toEqual({
      [id]: {
        Name: "web",
        EndpointID: expect.any(String),
        MacAddress: "02:42:ac:1c:00:02",
        IPv4Address: "172.28.0.2/16",
        IPv6Address: "",
      },
    } as never);
    expect(seen.Status?.IPAM.Subnets).toEqual({ "172.28.0.0/16": { IPsInUse: 3n, DynamicIPsAvailable: 65_533n } });
    expect(seen.Options).toHaveProperty(["com.docker.network.bridge.default_bridge"], "true");
    expect(seen).toMatchObject({
      Scope: "local",
      Driver: "bridge",
      ConfigFrom: { Network: "" },
      IPAM: { Options: null },
    });
    expect(await refusal(engine.networks.inspect("bridge", { scope: "swarm" }))).toEqual([
      "not_found",
      "network bridge not found in scope swarm",
    ]);
  });

  test("shows its maps in the order of their keys, as Go writes them", async () => {
    const Labels = { b: "1", a: "2", B: "3" };
    const Config = [{ Subnet: "10.1.0.0/16", AuxiliaryAddresses: { nas: "10.1.0.5", cam: "10.1.0.6" } }];
    await engine.networks.create({ Name: "net", Labels, Options: { z: "1", mtu: "1400" }, IPAM: { Config } });
    const ids = [await started("one", "net"), await started("two", "net"), await started("six", "net")];
    const seen = await engine.networks.inspect("net", {});
    expect(Object.keys(seen.Labels)).toEqual(["B", "a", "b"]);
    expect(Object.keys(seen.Options)).toEqual(["mtu", "z"]);
    expect(Object.keys(seen.Containers!)).toEqual(ids.sort());
  });

  test("cannot be removed while a container is on it, and can as soon as its end is told", async () => {
    await engine.networks.create({ Name: "net" });
    const id = await started("web", "net");
    expect((await refusal(engine.networks.remove("net")))[0]).toBe("forbidden");
    expect((await refusal(engine.networks.remove("bridge")))[0]).toBe("forbidden");
    const { exited } = await engine.containers.wait(id, "not-running", new AbortController().signal);
    world.shims[0]!.end();
    await exited;
    await engine.networks.remove("net");
    expect(await names({})).toEqual(["bridge", "host", "none"]);
  });

  test("is told of: created, connected, disconnected, destroyed", async () => {
    const { Id } = await engine.networks.create({ Name: "net" });
    const container = await started("web", "net");
    await engine.networks.disconnect("net", "web", { force: false });
    await engine.networks.remove("net");
    const attributes = { name: "net", type: "bridge" };
    const told = (Action: string, more = {}) => ({ Action, Actor: { ID: Id, Attributes: { ...attributes, ...more } } });
    expect(await events()).toEqual([
      told("create"),
      told("connect", { container }),
      told("disconnect", { container }),
      told("destroy"),
    ]);
  });
});

describe("filters", () => {
  beforeEach(async () => {
    await engine.networks.create({ Name: "backend", Labels: { tier: "back" } });
    await engine.networks.create({ Name: "frontend", Labels: { tier: "front" } });
    await started("web", "frontend");
  });

  test.each([
    [{ name: ["end"] }, ["backend", "frontend"]],
    [{ name: ["^back", "host"] }, ["host", "backend"]],
    [{ driver: ["host", "null"] }, ["host", "none"]],
    [{ label: ["tier=back"] }, ["backend"]],
    [{ label: ["tier"] }, ["backend", "frontend"]],
    [{ type: ["builtin"] }, ["bridge", "host", "none"]],
    [{ type: ["custom"], scope: ["local"] }, ["backend", "frontend"]],
    [{ scope: ["swarm"] }, []],
    [{ dangling: ["true"] }, ["backend"]],
    [{ dangling: ["false"] }, ["bridge", "host", "none", "frontend"]],
  ] as [Record<string, string[]>, string[]][])("%j", async (filters, wanted) => {
    expect(await names(filters)).toEqual(wanted);
  });

  test("match the beginning of an id, and refuse values that they cannot have", async () => {
    const { id } = world.networks.find("backend");
    expect(await names({ id: [id.slice(0, 20)] })).toEqual(["backend"]);
    expect((await refusal(names({ type: ["odd"] })))[1]).toBe("invalid filter 'type=odd': it is custom or builtin");
    expect((await refusal(names({ name: ["("] })))[1]).toBe("invalid filter 'name=('");
  });

  test("of prune leave what is used, built in, a configuration, younger, or labelled otherwise", async () => {
    await engine.networks.create({ Name: "template", ConfigOnly: true });
    await engine.networks.create({ Name: "spare" });
    expect(await engine.networks.prune({ until: ["2025-12-31"] })).toEqual({ NetworksDeleted: [] });
    expect(await engine.networks.prune({ "label!": ["tier"] })).toEqual({ NetworksDeleted: ["spare"] });
    expect(await engine.networks.prune({ label: ["tier=back"] })).toEqual({ NetworksDeleted: ["backend"] });
    expect(await engine.networks.prune({})).toEqual({ NetworksDeleted: [] });
    expect(await names({ type: ["custom"] })).toEqual(["frontend", "template"]);
    expect((await events()).at(-1)).toEqual({ Action: "prune", Actor: { ID: "", Attributes: { reclaimed: "0" } } });
  });
});
