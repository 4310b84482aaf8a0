import { describe, expect, test } from "bun:test";
import { O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { newId } from "../core/id.ts";
import { told } from "./names/testing/client.ts";
import type { Networks } from "./networks.ts";
import type { PortRequest } from "./ports/port.ts";
import { heldNamespaces, Rig } from "./rig.ts";
import type { EndpointRequest, Sandbox } from "./sandbox.ts";
import { ask, hostAddress, ip, outsideAddress, run, serve } from "./testbed.ts";
import { endpointRequest, networkRequest } from "./testing.ts";

const root = process.getuid?.() === 0;

const tcp = (hostPort?: number): PortRequest => ({
  transport: "tcp",
  containerPort: 80,
  ...(hostPort !== undefined && { hostPorts: { first: hostPort, last: hostPort } }),
});

describe.skipIf(!root)("ports and names of containers on networks", () => {
  let networks: Networks;
  const rig = new Rig(
    () => {
      networks = rig.make();
    },
    { onDisk: true },
  );

  const create = async (name: string, subnet: string): Promise<string> =>
    (await networks.create(networkRequest(name, { subnets: [{ subnet }], enableIpv6: false }))).network.id;
  const endpoint = (name: string, more: Partial<EndpointRequest> = {}): EndpointRequest =>
    endpointRequest(networks.find(name).id, more);
  const start = (id: string, ports: PortRequest[], ...endpoints: EndpointRequest[]): Promise<Sandbox> =>
    networks.attach(id, {
      kind: "networks",
      containerName: "web",
      endpoints,
      ports,
      // Nobody is there to ask: what is not known here is told at once.
      dns: { servers: ["127.0.0.1"], search: [], options: [] },
    });
  const opened = (path: string): Fd => open(path, O_RDONLY);
  const veths = (): string[] =>
    ip("link")
      .map((link) => link.ifname as string)
      .filter((name) => name.startsWith("veth"));
  const rows = (): number[] => rig.rows("network_sandbox", "network_endpoint", "network_address", "published_ports");

  test("ports are there with the attachment, and gone with it", async () => {
    const id = newId();
    const sandbox = await start(id, [tcp(8080)], endpoint("bridge"));
    expect(sandbox.ports).toContainEqual({
      transport: "tcp",
      containerPort: 80,
      hostAddress: "0.0.0.0",
      hostPort: 8080,
      mode: "nat",
    });
    using _server = serve(sandbox.namespacePath!, 80, "::");
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toEndWith(outsideAddress);
    expect(networks.sandbox(id)).toEqual(sandbox);
    const second = start(newId(), [tcp(8080)], endpoint("bridge"));
    await expect(second).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/8080.*container web/),
    });
    await networks.settled();
    expect(networks.members(networks.find("bridge").id).map(({ containerId }) => containerId)).toEqual([id]);
    expect(rows()[3]).toBe(1);
    await networks.detach(id);
    expect(await ask(rig.bed.outside, hostAddress, 8080, 300)).toBe("no answer");
    await networks.settled();
    expect(rows()[3]).toBe(0);
  });

  test("ports follow the network that leads out, with the number that they have", async () => {
    await create("alpha", "10.1.0.0/24");
    await create("beta", "10.2.0.0/24");
    const id = newId();
    const { namespacePath, ports } = await start(id, [tcp()], endpoint("beta"));
    const { hostPort } = ports[0]!;
    using _server = serve(namespacePath!, 80);
    const isReached = async (): Promise<boolean> =>
      (await ask(rig.bed.outside, hostAddress, hostPort)) === outsideAddress;
    const leadsTo = (address: string): boolean =>
      run("nft", "list", "table", "inet", "tsd").includes(`: ${address} . 80`);
    expect([await isReached(), leadsTo("10.2.0.2")]).toEqual([true, true]);
    const both = await networks.connect(id, endpoint("alpha"));
    expect(both.ports).toEqual(ports);
    expect([await isReached(), leadsTo("10.1.0.2"), leadsTo("10.2.0.2")]).toEqual([true, true, false]);
    await networks.disconnect(id, networks.find("alpha").id);
    expect([await isReached(), leadsTo("10.2.0.2")]).toEqual([true, true]);
    const alone = await networks.disconnect(id, networks.find("beta").id);
    expect(alone.ports).toEqual([]);
    expect(rows()[3]).toBe(0);
    const back = await networks.connect(id, endpoint("alpha"));
    expect(back.ports.map(({ containerPort }) => containerPort)).toEqual(ports.map(() => 80));
    await networks.detach(id);
  });

  test("ports follow also when the network that was left is removed at once", async () => {
    const [alpha] = [await create("alpha", "10.1.0.0/24"), await create("beta", "10.2.0.0/24")];
    const id = newId();
    const { namespacePath } = await start(id, [tcp(8080)], endpoint("alpha"), endpoint("beta"));
    using _server = serve(namespacePath!, 80);
    expect(rig.database.query("SELECT target FROM published_ports").get()).toEqual({
      target: expect.stringContaining("10.1.0.2"),
    });
    const leaving = networks.disconnect(id, alpha);
    await networks.remove(alpha);
    await leaving;
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    expect(run("nft", "list", "table", "inet", "tsd")).not.toContain("10.1.0.2");
  });

  test("ports that a killed daemon had not put where they belong are there after the next start", async () => {
    const alpha = await create("alpha", "10.1.0.0/24");
    await create("beta", "10.2.0.0/24");
    const id = newId();
    const { namespacePath } = await start(id, [tcp(8080)], endpoint("alpha"), endpoint("beta"));
    using held = opened(namespacePath!);
    using _server = serve(namespacePath!, 80);
    const restart = async (): Promise<void> => {
      await networks.close();
      networks = rig.make();
      await networks.restore(new Map([[id, { namespacePath: `/proc/self/fd/${held.number}` }]]));
    };
    const [before] = rig.database.query<{ target: string; ports: string }, []>("SELECT * FROM published_ports").all();
    await networks.disconnect(id, alpha);
    // The address that they led to is free, and the next container's.
    rig.database.run("UPDATE published_ports SET target = ?", [before!.target]);
    await start(newId(), [], endpoint("alpha"));
    await restart();
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    // They had been withdrawn, and were not published again.
    rig.database.run("DELETE FROM published_ports");
    await restart();
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    expect(rows()[3]).toBe(1);
    await networks.detach(id);
  });

  test("names are known on user-defined networks alone, and follow who comes and goes", async () => {
    await create("alpha", "10.1.0.0/24");
    await create("beta", "10.2.0.0/24");
    const [web, db] = [newId(), newId()];
    const { namespacePath, hasResolver } = await start(web, [], endpoint("alpha", { names: ["web", "w"] }));
    expect(hasResolver).toBe(true);
    using inWeb = opened(namespacePath!);
    expect(await told(inWeb, "web", "A")).toEqual(["10.1.0.2"]);
    const plain = await start(db, [], endpoint("bridge"));
    expect(plain.hasResolver).toBe(false);
    using inDb = opened(plain.namespacePath!);
    expect(await told(inDb, "web", "A", { timeoutMs: 200 }).catch((error: Error) => error.message)).not.toEqual([
      "10.1.0.2",
    ]);
    const joined = await networks.connect(db, endpoint("alpha", { names: ["db"] }));
    expect(joined.hasResolver).toBe(true);
    expect(await told(inDb, "w", "A")).toEqual(["10.1.0.2"]);
    expect(await told(inWeb, "db", "A")).toEqual(["10.1.0.3"]);
    await networks.connect(web, endpoint("beta", { names: ["web"] }));
    expect(await told(inDb, "web.beta", "A")).not.toEqual(["10.2.0.2"]);
    const left = await networks.disconnect(db, networks.find("alpha").id);
    expect(left.hasResolver).toBe(false);
    expect(await told(inWeb, "db", "A")).not.toEqual(["10.1.0.3"]);
    await networks.detach(db);
    await networks.detach(web);
  });

  test("an attachment whose ports or names cannot be provided leaves nothing", async () => {
    await create("alpha", "10.1.0.0/24");
    await networks.close();
    const namespaces = heldNamespaces();
    const { options } = rig.companions;
    const resolver = { ...options.resolver, command: ["/bin/false"] };
    networks = rig.make({}, { companions: { ...options, resolver } });
    const attempt = start(newId(), [tcp(8080)], endpoint("alpha", { names: ["web"] }));
    await expect(attempt).rejects.toThrow("tsd resolver");
    await networks.settled();
    expect([veths(), rows()]).toEqual([[], [0, 0, 0, 0]]);
    expect(heldNamespaces()).toBe(namespaces);
    expect(run("nft", "list", "table", "inet", "tsd")).not.toContain(". 80");
    // A container that runs keeps what it has when a network cannot be joined.
    const id = newId();
    const { namespacePath, ports } = await start(id, [tcp(8080)], endpoint("bridge"));
    using _server = serve(namespacePath!, 80);
    await expect(networks.connect(id, endpoint("alpha"))).rejects.toThrow("to network alpha");
    expect(networks.sandbox(id)).toMatchObject({ endpoints: [{ networkName: "bridge" }], ports });
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    await networks.detach(id);
  });

  /** A daemon that attaches a container and is killed. */
  function attachAndBeKilled(id: string): Promise<{ sandbox: Sandbox; held: Fd }> {
    const statements = `
      const endpoint = (name, more) => testing.endpointRequest(networks.find(name).id, more);
      const request = testing.networksRequest(endpoint("alpha", { names: ["web"] }), endpoint("bridge"));
      request.ports = [{ transport: "tcp", containerPort: 80, hostPorts: { first: 8080, last: 8080 } }];
      said = await networks.attach("${id}", request);`;
    return rig.inKilledDaemon(statements, (sandbox: Sandbox) => ({ sandbox, held: opened(sandbox.namespacePath!) }));
  }

  test("after the daemon was killed all of it works on, and is taken over untouched", async () => {
    await create("alpha", "10.1.0.0/24");
    // The bridge goes with the daemon that made it, and comes with the next.
    await networks.close();
    const id = newId();
    const { sandbox, held } = await attachAndBeKilled(id);
    using _held = held;
    using _server = serve(held, 80);
    // With no daemon there: connections, ports and names.
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    expect(await ask(held, outsideAddress, 1, 50)).toBe("no answer");
    expect(await told(held, "web", "A")).toEqual(["10.1.0.2"]);
    const table = run("nft", "list", "table", "inet", "tsd");
    const links = (): unknown[] => ip("link").map(({ ifindex, ifname }) => [ifindex, ifname]);
    const before = links();

    networks = rig.make();
    await networks.restore(new Map([[id, { namespacePath: `/proc/self/fd/${held.number}` }]]));
    expect(run("nft", "list", "table", "inet", "tsd")).toBe(table);
    expect(links()).toEqual(before);
    const { namespacePath: _path, ...rest } = sandbox;
    expect(networks.sandbox(id)).toMatchObject(rest);
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    expect(await told(held, "web", "A")).toEqual(["10.1.0.2"]);

    // It is the new daemon's from here on.
    await networks.detach(id);
    await networks.settled();
    expect(await ask(rig.bed.outside, hostAddress, 8080, 300)).toBe("no answer");
    expect([veths(), rows()]).toEqual([[], [0, 0, 0, 0]]);
  });

  test("what somebody removed while no daemon was there is made again: bridges, veths, rules, processes", async () => {
    await create("alpha", "10.1.0.0/24");
    await networks.close();
    const id = newId();
    const { sandbox, held } = await attachAndBeKilled(id);
    using _held = held;
    using _server = serve(held, 80);
    run("ip", "link", "del", networks.find("alpha").device!);
    for (const name of veths().slice(0, 1)) run("ip", "link", "del", name);
    run("nft", "flush", "ruleset");
    rig.companions.end();
    networks = rig.make();
    await networks.restore(new Map([[id, { namespacePath: `/proc/self/fd/${held.number}` }]]));
    const { namespacePath: _path, ...rest } = sandbox;
    expect(networks.sandbox(id)).toMatchObject(rest);
    expect(veths().length).toBe(2);
    expect(await ask(held, outsideAddress, 1, 50)).toBe("no answer");
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    expect(await told(held, "web", "A")).toEqual(["10.1.0.2"]);
    await networks.detach(id);
  });

  test("what a daemon left that was killed half-way, or whose containers are gone, is removed", async () => {
    await create("alpha", "10.1.0.0/24");
    await networks.close();
    const id = newId();
    {
      const { held } = await attachAndBeKilled(id);
      held.close();
    }
    networks = rig.make();
    await networks.restore(new Map());
    expect([veths(), rows()]).toEqual([[], [0, 0, 0, 0]]);
    expect(run("nft", "list", "ruleset")).not.toContain(". 80");
    // What was taken is free again.
    const again = await start(id, [tcp(8080)], endpoint("alpha", { ipv4: "10.1.0.2", names: ["web"] }));
    expect(again.endpoints[0]!.ipv4).toBe("10.1.0.2");
    await networks.detach(id);
  });
});
