import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { HostConfig } from "../../api/schema/container-config.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  world.dns = { servers: ["192.0.2.53"], search: ["daemon.test"], options: ["ndots:2"] };
  engine = await world.open();
  await engine.networks.create({ Name: "back" });
});
afterEach(() => world[Symbol.dispose]());

/** The lines of its resolv.conf that mean something, and what its network part was asked for. */
async function started(HostConfig: HostConfig) {
  const { Id } = await engine.containers.create(busybox({ HostConfig }), {});
  await engine.containers.start(Id);
  const request = world.networks.requests.get(Id);
  const text = readFileSync(world.layout.container(Id).resolvConf, "utf8");
  const lines = text.split("\n").filter((line) => /^(nameserver|search|options)/.test(line));
  return { text, lines, asked: request?.kind === "networks" ? request.dns : undefined };
}

describe("the daemon's name servers", () => {
  test("are those of a container that has none of its own", async () => {
    const { lines, asked } = await started({});
    expect(lines).toEqual(["nameserver 192.0.2.53", "search daemon.test", "options ndots:2"]);
    expect(asked).toEqual(world.dns!);
  });

  test("are those that tsd's own asks on a network that a user made", async () => {
    const { text, lines, asked } = await started({ NetworkMode: "back" });
    expect(lines).toEqual(["nameserver 127.0.0.11", "search daemon.test", "options ndots:2"]);
    expect(text).toContain("# ExtServers: [192.0.2.53]\n# Overrides: [nameservers search options]\n");
    expect(asked).toEqual(world.dns!);
  });

  test("are replaced by the container's, and its search domains and options each by themselves", async () => {
    const { lines, asked } = await started({ Dns: ["198.51.100.1"] });
    expect(lines).toEqual(["nameserver 198.51.100.1", "search daemon.test", "options ndots:2"]);
    expect(asked).toEqual({ ...world.dns!, servers: ["198.51.100.1"] });
    const others = await started({ NetworkMode: "back", DnsSearch: ["."], DnsOptions: ["rotate"] });
    expect(others.lines).toEqual(["nameserver 127.0.0.11", "options rotate ndots:0"]);
    expect(others.asked).toEqual({ servers: ["192.0.2.53"], search: ["."], options: ["rotate"] });
  });

  test("stand in the files of containers on the host's network and on none, and not in the record", async () => {
    for (const NetworkMode of ["host", "none"]) {
      expect((await started({ NetworkMode })).lines[0]).toBe("nameserver 192.0.2.53");
    }
    const { Id } = await engine.containers.create(busybox({ HostConfig: {} }), {});
    const { HostConfig } = await engine.containers.inspect(Id, { size: false });
    expect(HostConfig.Dns ?? []).toEqual([]);
  });
});
