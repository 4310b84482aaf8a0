import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(() => world[Symbol.dispose]());

test("published ports are listed of running containers, by name, with from where they can be reached", async () => {
  const ids: Record<string, string> = {};
  for (const name of ["web", "api", "stopped"]) {
    const { Id } = await engine.containers.create(busybox({}), { name });
    if (name !== "stopped") await engine.containers.start(Id);
    ids[name] = Id;
  }
  const sandbox = world.networks.sandbox.bind(world.networks);
  world.networks.sandbox = (id) => {
    const found = sandbox(id);
    const hostAddress = id === ids.api ? "127.0.0.1" : "0.0.0.0";
    const mode = id === ids.api ? "nat" : "socket";
    const port = { transport: "tcp", containerPort: 80, hostAddress, hostPort: 8080, mode } as const;
    return found && { ...found, ports: [port] };
  };
  const list = await engine.ports.list();
  expect(list.map(({ ContainerID, ContainerName }) => [ContainerID, ContainerName])).toEqual([
    [ids.api!, "api"],
    [ids.web!, "web"],
  ]);
  expect(list[1]).toEqual({
    ContainerID: ids.web!,
    ContainerName: "web",
    HostIp: "0.0.0.0",
    HostPort: 8080,
    PrivatePort: 80,
    Type: "tcp",
    Mode: "socket",
    ReachableFrom: "everywhere",
    InputRules: true,
  });
  expect(list[0]).toMatchObject({ ReachableFrom: "loopback", InputRules: false });
});
