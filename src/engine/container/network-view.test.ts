import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { ContainerCreateRequest } from "../../api/schema/container-config.ts";
import { openDatabase } from "../../core/database.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { ContainerStore } from "./store.ts";
import { containerSchema } from "./table.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(() => world[Symbol.dispose]());

async function started(request: ContainerCreateRequest): Promise<string> {
  const { Id } = await engine.containers.create(busybox(request), {});
  await engine.containers.start(Id);
  return Id;
}

async function settings(id: string) {
  return (await engine.containers.inspect(id, { size: false })).NetworkSettings;
}

const ports: ContainerCreateRequest = {
  ExposedPorts: { "80/tcp": {}, "53/udp": {} },
  HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "8080" }, { HostPort: "8081" }] } },
};

describe("published ports", () => {
  test("are asked for at the start, and shown where they are published; exposed ones beside them", async () => {
    const id = await started(ports);
    expect(world.networks.requests.get(id)).toMatchObject({
      ports: [
        { transport: "tcp", containerPort: 80, hostPorts: { first: 8080, last: 8080 } },
        { transport: "tcp", containerPort: 80, hostPorts: { first: 8081, last: 8081 } },
      ],
    });
    expect((await settings(id)).Ports).toEqual({
      "53/udp": null,
      "80/tcp": [
        { HostIp: "0.0.0.0", HostPort: "8080" },
        { HostIp: "0.0.0.0", HostPort: "8081" },
      ],
    });
    const [summary] = await engine.containers.list({ all: false, size: false, filters: { publish: ["8081"] } });
    expect(summary!.Ports).toEqual([
      { PrivatePort: 53, Type: "udp" },
      { IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
      { IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8081, Type: "tcp" },
    ]);
  });

  test("are shown of nobody who does not run, and are nobody's on the host's network, with a warning", async () => {
    const host = { ...ports, HostConfig: { ...ports.HostConfig, NetworkMode: "host" } };
    const created = await engine.containers.create(busybox(host), {});
    expect(created.Warnings).toEqual(["Published ports are discarded when using host network mode"]);
    await engine.containers.start(created.Id);
    expect(world.networks.requests.get(created.Id)).toEqual({ kind: "host" });
    expect((await settings(created.Id)).Ports).toEqual({});
    const id = await started(ports);
    world.shims.at(-1)!.end();
    const { exited } = await engine.containers.wait(id, "not-running", new AbortController().signal);
    await exited;
    const { Ports, SandboxID, SandboxKey, Networks } = await settings(id);
    expect([Ports, SandboxID, SandboxKey, Object.keys(Networks)]).toEqual([{}, "", "", ["bridge"]]);
    expect(Networks.bridge).not.toHaveProperty("IPAddress");
  });

  test("conflict with another container's network; a range that is none is refused when the container is made", async () => {
    const web = await started({});
    const joined = { ...ports, HostConfig: { ...ports.HostConfig, NetworkMode: `container:${web}` } };
    const create = (request: ContainerCreateRequest) => engine.containers.create(busybox(request), {});
    await expect(create(joined)).rejects.toThrow("port publishing and the container type network mode");
    const exposing = { ExposedPorts: { "80/tcp": {} }, HostConfig: { NetworkMode: `container:${web}` } };
    await expect(create(exposing)).rejects.toThrow("port exposing and the container type network mode");
    const wrong = { HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "8081-8080" }] } } };
    await expect(create(wrong)).rejects.toThrow('invalid port specification: "8081-8080"');
  });
});

test("a MAC address is refused where there is no interface of the container's own", async () => {
  const web = await started({});
  for (const NetworkMode of ["host", `container:${web}`]) {
    const EndpointsConfig = { [NetworkMode]: { MacAddress: "02:00:00:00:00:05" } };
    const request = busybox({ HostConfig: { NetworkMode }, NetworkingConfig: { EndpointsConfig } });
    await expect(engine.containers.create(request, {})).rejects.toThrow("mac-address and the network mode");
  }
});

test("a container's namespace is shown by its own process, which the daemon's end does not change", async () => {
  for (const NetworkMode of ["bridge", "none", "host"]) {
    const id = await started({ HostConfig: { NetworkMode } });
    const { State, NetworkSettings } = await engine.containers.inspect(id, { size: false });
    expect(State.Pid).toBeGreaterThan(0);
    expect(NetworkSettings.SandboxKey).toBe(`/proc/${State.Pid}/ns/net`);
  }
});

test("the MAC address that was asked for on the container's own network is its configuration's", async () => {
  const EndpointsConfig = { bridge: { MacAddress: "02-00-00-00-00-05" } };
  const id = await started({ NetworkingConfig: { EndpointsConfig } });
  const wished = async (of: string) => (await engine.containers.inspect(of, { size: false })).Config.MacAddress;
  expect(await wished(id)).toBe("02:00:00:00:00:05");
  expect(await wished(await started({}))).toBeUndefined();
});

test("a container without networking has no network", async () => {
  const id = await started({ NetworkDisabled: true });
  expect(world.networks.requests.get(id)).toEqual({ kind: "none" });
  expect((await settings(id)).Networks).toEqual({});
});

test("filters of ps know networks by name, id and its beginning", async () => {
  await engine.networks.create({ Name: "net" });
  const id = await started({ HostConfig: { NetworkMode: "net" } });
  await started({});
  const listed = async (network: string) =>
    (await engine.containers.list({ all: true, size: false, filters: { network: [network] } })).map(({ Id }) => Id);
  const { id: networkId } = world.networks.find("net");
  for (const value of ["net", networkId, networkId.slice(0, 20)]) expect(await listed(value)).toEqual([id]);
  expect(await listed("none")).toEqual([]);
});

test("containers of older versions get their network on record, those that share another's none", () => {
  const path = join(world.directory, "old.db");
  const [first] = containerSchema.steps;
  using old = openDatabase(path, [{ ...containerSchema, steps: [first!] }]);
  const insert = old.query(
    "INSERT INTO containers (id, name, created_at, definition, state) VALUES (?, ?, '', ?, '{\"status\":\"created\"}')",
  );
  const modes = { a: "bridge", b: "none", c: "container:a", d: "bridge" };
  for (const [id, NetworkMode] of Object.entries(modes)) {
    const endpoints = id === "d" ? { bridge: { MacAddress: "02:00:00:00:00:05" } } : {};
    insert.run(id, id, JSON.stringify({ hostConfig: { NetworkMode, Memory: 9_007_199_254_740_991 }, endpoints }));
  }
  old.close();
  using database = openDatabase(path, [containerSchema]);
  const all = new ContainerStore(database).all();
  expect(all.map(({ definition }) => definition.endpoints)).toEqual([
    { bridge: {} },
    { none: {} },
    {},
    { bridge: { MacAddress: "02:00:00:00:00:05" } },
  ]);
  expect(all[0]!.definition.hostConfig.Memory).toBe(9_007_199_254_740_991);
});
