import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import type { HostConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { refusal } from "../testing/refusal.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
  await engine.networks.create({ Name: "back" });
});
afterEach(() => world[Symbol.dispose]());

async function create(name: string, HostConfig: HostConfig = {}): Promise<string> {
  return (await engine.containers.create(busybox({ HostConfig }), { name })).Id;
}

async function started(name: string, HostConfig: HostConfig = {}): Promise<string> {
  const id = await create(name, HostConfig);
  await engine.containers.start(id);
  return id;
}

async function networks(id: string) {
  return (await engine.containers.inspect(id, { size: false })).NetworkSettings.Networks;
}

const connect = (container: string, endpoint = {}) => engine.networks.connect("back", container, endpoint);
const disconnect = (container: string, network = "back", force = false) =>
  engine.networks.disconnect(network, container, { force });

function hosts(id: string): string {
  return readFileSync(world.layout.container(id).hosts, "utf8");
}

function resolvConf(id: string): string {
  return readFileSync(world.layout.container(id).resolvConf, "utf8");
}

describe("connecting a container that runs", () => {
  test("asks for what was wished, and shows what was given beside it", async () => {
    const id = await started("web");
    await connect("web", { Aliases: ["db"], GwPriority: 5, DriverOpts: { a: "b" } });
    expect(world.networks.connections).toEqual([
      {
        networkId: world.networks.find("back").id,
        names: ["web", "db", id.slice(0, 12)],
        links: [],
        driverOptions: { a: "b" },
        gatewayPriority: 5,
      },
    ]);
    expect((await networks(id)).back).toMatchObject({
      Aliases: ["db"],
      DNSNames: ["web", "db", id.slice(0, 12)],
      IPAddress: "172.31.0.2",
      IPPrefixLen: 16,
      Gateway: "172.31.0.1",
      GwPriority: 5,
    });
    const { bridge } = await networks(id);
    expect([bridge!.IPAddress, bridge!.DNSNames]).toEqual(["172.28.0.2", undefined]);
  });

  test("rewrites /etc/hosts and resolv.conf in their place, and leaves what is not tsd's", async () => {
    const id = await started("web");
    const { hosts: path } = world.layout.container(id);
    const { ino } = statSync(path);
    writeFileSync(path, `${hosts(id)}10.0.0.1\tmine\n`);
    await connect("web");
    expect(hosts(id)).toEndWith(`172.28.0.2\t${id.slice(0, 12)}\n10.0.0.1\tmine\n172.31.0.2\t${id.slice(0, 12)}\n`);
    expect(resolvConf(id)).toContain("\nnameserver 127.0.0.11\n");
    await disconnect("web", "bridge");
    expect(hosts(id)).toEndWith(`10.0.0.1\tmine\n172.31.0.2\t${id.slice(0, 12)}\n`);
    await disconnect("web");
    expect(hosts(id)).toEndWith("10.0.0.1\tmine\n");
    expect(resolvConf(id)).not.toContain("127.0.0.11");
    expect(statSync(path).ino).toBe(ino);
  });

  test("host-gateway is the bridge's gateway, or what the daemon was told", async () => {
    const ExtraHosts = ["gate:host-gateway"];
    expect(hosts(await started("own", { ExtraHosts }))).toContain("172.28.0.1\tgate\n");
    expect(hosts(await started("host", { ExtraHosts, NetworkMode: "host" }))).toContain("127.0.0.1\tgate\n");
    world.hostGateway = ["192.0.2.1", "2001:db8::1"];
    engine = await world.open();
    for (const NetworkMode of ["back", "host"]) {
      expect(hosts(await started(`told-${NetworkMode}`, { ExtraHosts, NetworkMode }))).toContain(
        "192.0.2.1\tgate\n2001:db8::1\tgate\n",
      );
    }
  });

  test("leaves files alone that a container has made larger than any real ones, and does not read them", async () => {
    const id = await started("web");
    const { hosts: path, resolvConf: resolvPath } = world.layout.container(id);
    const bytes = 3 * 2 ** 30;
    for (const each of [path, resolvPath]) truncateSync(each, bytes);
    const before = performance.now();
    await connect("web");
    await disconnect("web");
    expect(performance.now() - before).toBeLessThan(1_000);
    expect([path, resolvPath].map((each) => statSync(each).size)).toEqual([bytes, bytes]);
  });

  test("leaves a resolv.conf alone that somebody has changed", async () => {
    const id = await started("web");
    writeFileSync(world.layout.container(id).resolvConf, "nameserver 10.0.0.1\n");
    await connect("web");
    expect(resolvConf(id)).toBe("nameserver 10.0.0.1\n");
  });

  test("that is refused by the kernel leaves it where it was; so does disconnecting", async () => {
    const id = await started("web");
    await connect("web");
    const before = await networks(id);
    world.networks.failure = new EngineError("internal", "the kernel does not want to");
    expect(await refusal(disconnect("web"))).toEqual(["internal", "the kernel does not want to"]);
    expect(await networks(id)).toEqual(before);
    await engine.networks.create({ Name: "third" });
    expect((await refusal(engine.networks.connect("third", "web", {})))[0]).toBe("internal");
    expect(await networks(id)).toEqual(before);
  });

  test("twice to the same network is refused", async () => {
    await started("web");
    expect(await refusal(engine.networks.connect("bridge", "web", {}))).toEqual([
      "forbidden",
      "endpoint with name web already exists in network bridge",
    ]);
  });
});

describe("a container that does not run", () => {
  test("is on other networks from its next start on", async () => {
    const id = await create("web");
    await connect("web", { Aliases: ["a"] });
    await disconnect("web", "bridge");
    expect(Object.keys(await networks(id))).toEqual(["back"]);
    expect(world.networks.connections).toEqual([]);
    await engine.containers.start(id);
    expect(world.networks.requests.get(id)).toMatchObject({ endpoints: [{ names: ["web", "a", id.slice(0, 12)] }] });
    engine = await world.open();
    expect(Object.keys(await networks(id))).toEqual(["back"]);
  });

  test("that an older tsd has started stays on its network, whose name alone is on record", async () => {
    const id = await started("web");
    const before = await networks(id);
    using database = new Database(world.layout.database);
    const older = `json_remove(definition, '$.endpoints.bridge.NetworkID')`;
    database.run(`UPDATE containers SET definition = ${older} WHERE id = ?`, [id]);
    engine = await world.open();
    expect(await networks(id)).toEqual(before);
    expect(world.networks.sandbox(id)?.endpoints.length).toBe(1);
  });

  test("is not put on a network that goes while somebody else has the container", async () => {
    const id = await create("web");
    const meanwhile: Promise<unknown>[] = [];
    Object.defineProperty(world, "startFailure", {
      get: () => {
        meanwhile.push(refusal(connect("web")), engine.networks.remove("back"));
        return new EngineError("internal", "no");
      },
    });
    expect(await refusal(engine.containers.start(id))).toEqual(["internal", "start container web: no"]);
    expect(await Promise.all(meanwhile)).toEqual([
      ["not_found", expect.stringMatching(/^network \w+ not found$/)],
      undefined,
    ]);
    expect(Object.keys(await networks(id))).toEqual(["bridge"]);
  });

  test("on no network at all is given none", async () => {
    const id = await create("web");
    await disconnect("web", "bridge");
    await engine.containers.start(id);
    expect(world.networks.requests.get(id)).toMatchObject({ kind: "networks", endpoints: [] });
    expect(await networks(id)).toEqual({});
  });

  test("whose network was removed does not start, also where another has its name now, until it is disconnected", async () => {
    const id = await create("web", { NetworkMode: "back" });
    const { id: removed } = world.networks.find("back");
    await engine.networks.remove("back");
    await engine.networks.create({ Name: "back" });
    expect(await refusal(engine.containers.start(id))).toEqual([
      "not_found",
      `start container web: failed to set up container networking: network ${removed} not found`,
    ]);
    expect(await refusal(disconnect("web", "nosuch", true))).toEqual([
      "conflict",
      `container ${id} is not connected to network nosuch`,
    ]);
    await disconnect("web", removed, true);
    await connect("web");
    await engine.containers.start(id);
  });
});

test("a container that runs leaves none for other networks, and comes on it again from no network alone", async () => {
  const id = await started("lonely", {
    NetworkMode: "none",
    PortBindings: { "80/tcp": [{ HostPort: "8080" }] },
    Dns: ["192.0.2.53"],
  });
  // What is for networks is said from the beginning.
  expect(world.networks.requests.get(id)).toMatchObject({
    kind: "none",
    wishes: { containerName: "lonely", ports: [{ containerPort: 80 }], dns: { servers: ["192.0.2.53"] } },
  });
  await disconnect("lonely", "none");
  expect(await networks(id)).toEqual({});
  expect(await refusal(disconnect("lonely", "none"))).toEqual([
    "conflict",
    `container ${id} is not connected to network none`,
  ]);
  await engine.networks.connect("none", "lonely", {});
  expect(Object.keys(await networks(id))).toEqual(["none"]);
  expect(await refusal(engine.networks.connect("none", "lonely", {}))).toEqual([
    "forbidden",
    "endpoint with name lonely already exists in network none",
  ]);
  await disconnect("lonely", "none");
  await connect("lonely");
  expect(Object.keys(await networks(id))).toEqual(["back"]);
  expect(hosts(id)).toContain(`172.31.0.2\t${id.slice(0, 12)}`);
  expect(resolvConf(id)).toContain("nameserver 127.0.0.11");
  expect((await refusal(engine.networks.connect("none", "lonely", {})))[1]).toContain("in private (none) mode");
});

describe("a container that takes the place of one that has ended this moment", () => {
  const ports = { PortBindings: { "80/tcp": [{ HostPort: "8080" }] } };

  test.each(["start", "run"])("%s waits until that one has left its networks", async (how) => {
    const first = await started("first", { ...ports, AutoRemove: true });
    await create("second", ports);
    const { exited } = await engine.containers.wait(first, "next-exit", new AbortController().signal);
    world.shims[0]!.end();
    await exited;
    expect(world.networks.attached.has(first)).toBe(true);
    if (how === "start") await engine.containers.start("second");
    else {
      const attach = { stdin: false, stdout: false, stderr: false };
      const request = { pull: "never" as const, create: busybox({ HostConfig: ports }), attach, detach: true };
      await engine.containers.run(request, () => undefined, new AbortController().signal);
    }
    expect(world.networks.attached.has(first)).toBe(false);
    expect(world.networks.attached.size).toBe(1);
  });
});

describe("refusals", () => {
  test("what shares the host's or another's network, or has none, is on no other", async () => {
    await started("host", { NetworkMode: "host" });
    await started("none", { NetworkMode: "none" });
    await started("web");
    await started("joined", { NetworkMode: "container:web" });
    const shared =
      "container sharing network namespace with another container or host cannot be connected to any other network";
    expect(await refusal(connect("host"))).toEqual(["invalid_argument", shared]);
    expect(await refusal(connect("joined"))).toEqual(["invalid_argument", shared]);
    expect((await refusal(connect("none")))[1]).toContain("in private (none) mode");
    expect((await refusal(engine.networks.connect("none", "web", {})))[1]).toContain("in private (none) mode");
    expect((await refusal(engine.networks.connect("host", "web", {})))[1]).toBe(
      "cannot connect container to host network - container must be created in host network mode",
    );
    expect((await refusal(disconnect("host", "host")))[1]).toBe(
      "cannot disconnect container from host network - container was created in host network mode",
    );
  });

  test("a container or network that is not there, or not on it", async () => {
    const id = await started("web");
    expect((await refusal(connect("nosuch")))[0]).toBe("not_found");
    expect((await refusal(engine.networks.connect("nosuch", "web", {})))[0]).toBe("not_found");
    expect((await refusal(disconnect("nosuch")))[0]).toBe("not_found");
    expect(await refusal(disconnect("nosuch", "back", true))).toEqual(["not_found", "endpoint nosuch not found"]);
    expect((await refusal(disconnect("web", "nosuch")))[0]).toBe("not_found");
    expect(await refusal(disconnect("web"))).toEqual(["conflict", `container ${id} is not connected to network back`]);
  });
});

describe("a daemon that is killed between record and kernel", () => {
  /** The next daemon, over what the kernel has. */
  async function killed(): Promise<void> {
    engine = await world.open();
  }

  test("is followed by one that finishes a connection", async () => {
    const id = await started("web");
    await connect("web");
    await world.networks.disconnect(id, world.networks.find("back").id);
    writeFileSync(world.layout.container(id).hosts, "");
    await killed();
    expect((await networks(id)).back).toMatchObject({ IPAddress: "172.31.0.2" });
    expect(hosts(id)).toContain(`172.31.0.2\t${id.slice(0, 12)}\n`);
    expect(hosts(id)).toStartWith("127.0.0.1\tlocalhost\n");
  });

  test("is followed by one that forgets a connection that cannot be", async () => {
    const id = await started("web");
    await connect("web");
    await world.networks.disconnect(id, world.networks.find("back").id);
    world.networks.failure = new EngineError("conflict", "the address is taken");
    await killed();
    expect(Object.keys(await networks(id))).toEqual(["bridge"]);
  });

  test("is followed by one whose start a container may end in", async () => {
    const id = await started("web", { PortBindings: { "80/tcp": [{ HostPort: "8080" }] } });
    world.networks.whileRestoring = async () => {
      world.shims[0]!.end();
      await Bun.sleep(2);
    };
    await killed();
    expect(world.networks.attached.size).toBe(0);
    await engine.containers.start(id);
    expect(world.networks.requests.get(id)).toMatchObject({ kind: "networks" });
  });

  test("is followed by one that finishes leaving none, and coming on the next network", async () => {
    const id = await started("web", { NetworkMode: "none" });
    const none = world.networks.find("none").id;
    await disconnect("web", "none");
    await connect("web");
    await world.networks.disconnect(id, world.networks.find("back").id);
    await world.networks.connect(id, { networkId: none, names: [], links: [], driverOptions: {}, gatewayPriority: 0 });
    await killed();
    expect(world.networks.sandbox(id)!.endpoints.map(({ networkName }) => networkName)).toEqual(["back"]);
    expect(Object.keys(await networks(id))).toEqual(["back"]);
  });

  test("is followed by one that finishes a disconnection", async () => {
    const id = await started("web");
    await world.networks.connect(id, {
      networkId: world.networks.find("back").id,
      names: [],
      links: [],
      driverOptions: {},
      gatewayPriority: 0,
    });
    await killed();
    expect(world.networks.sandbox(id)!.endpoints.map(({ networkName }) => networkName)).toEqual(["bridge"]);
    expect(Object.keys(await networks(id))).toEqual(["bridge"]);
  });
});
