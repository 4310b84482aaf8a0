import { describe, expect, test } from "bun:test";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { owningUserNamespace } from "../../ffi/namespace.ts";
import { createUserNamespace } from "../../ffi/plan/namespaces.ts";
import { openDatabase } from "../core/database.ts";
import { newId } from "../core/id.ts";
import { BridgeDevice } from "./driver/bridge.ts";
import { NetworkNamespace } from "./namespace.ts";
import { Networks, type NetworksOptions } from "./networks.ts";
import { portsSchema } from "./ports/records.ts";
import { NetworkRecords } from "./records.ts";
import { heldNamespaces, interfaces, Rig } from "./rig.ts";
import { networkSchema } from "./schema.ts";
import { ask, hostAddress, ip, outsideAddress, run, serve, within } from "./testbed.ts";
import { type Attached, attach, endpointRequest, networksRequest } from "./testing.ts";

const root = process.getuid?.() === 0;

describe.skipIf(!root)("networks", () => {
  let networks: Networks;
  const rig = new Rig(
    () => {
      networks = rig.make();
    },
    { onDisk: true },
  );

  const everybody = (from = networks): string[] =>
    from.list().flatMap(({ id }) => from.members(id).map((member) => member.containerId));
  const heldPath = (held: Fd): string => `/proc/self/fd/${held.number}`;
  const table = (): string => run("nft", "list", "ruleset").replace(/\s+/g, " ").trim();

  test("touch nothing on the host before a container needs them", async () => {
    expect(networks.list().map(({ name, driver }) => [name, driver])).toEqual([
      ["bridge", "bridge"],
      ["host", "host"],
      ["none", "null"],
    ]);
    await networks.restore(new Map());
    expect(interfaces()).toEqual([]);
    expect(table()).toBe("");
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim()).toBe("0");
  });

  test("attach a container to the bridge: interface, addresses, route, bridge and table are all there", async () => {
    await networks.close();
    networks = rig.make({ ipv6: false });
    const id = newId();
    const endpoint = await attach(networks, id);
    expect(endpoint).toMatchObject({
      networkName: "bridge",
      driver: "bridge",
      interface: "eth0",
      ipv4: "172.28.0.2",
      ipv4PrefixLength: 16,
      ipv4Gateway: "172.28.0.1",
      mac: "02:42:ac:1c:00:02",
      networkId: networks.list()[0]!.id,
    });
    expect(networks.sandbox(id)).toEqual(endpoint.sandbox);
    expect(networks.list()[0]).toMatchObject({
      device: "tsd0",
      subnets: [{ subnet: "172.28.0.0/16", gateway: "172.28.0.1" }],
    });
    const { endpointId, mac } = endpoint;
    expect(networks.members(endpoint.networkId)).toEqual([
      { containerId: id, endpointId, mac: mac!, ipv4: "172.28.0.2/16", ipv6: "" },
    ]);

    within(endpoint.namespacePath!, () => {
      // Asking for one interface lets the kernel's link watch catch up with its state.
      run("ip", "link", "show", "dev", "eth0");
      const [lo, eth0, ...others] = ip("addr");
      expect(lo).toMatchObject({ ifname: "lo", flags: expect.arrayContaining(["UP"]) });
      expect(eth0).toMatchObject({ ifname: "eth0", address: "02:42:ac:1c:00:02", mtu: 1500, operstate: "UP" });
      // No IPv6 on the network: no link-local address either.
      expect(eth0!.addr_info).toEqual([
        expect.objectContaining({ local: "172.28.0.2", prefixlen: 16, broadcast: "172.28.255.255" }),
      ]);
      expect(others).toEqual([]);
      expect(ip("route")).toEqual([
        expect.objectContaining({ dst: "default", gateway: "172.28.0.1", dev: "eth0" }),
        expect.objectContaining({ dst: "172.28.0.0/16", dev: "eth0" }),
      ]);
      expect(readFileSync("/proc/sys/net/ipv6/conf/default/disable_ipv6", "utf8").trim()).toBe("0");
    });

    const [bridge] = ip("addr", "show", "dev", "tsd0");
    expect(bridge).toMatchObject({ ifalias: expect.stringMatching(/^tsd [0-9a-f]{12}$/), operstate: "UP" });
    expect(bridge!.addr_info).toContainEqual(expect.objectContaining({ local: "172.28.0.1", prefixlen: 16 }));
    const veth = `veth${endpoint.endpointId.slice(0, 11)}`;
    expect(ip("link", "show", "dev", veth)[0]).toMatchObject({ master: "tsd0", operstate: "UP" });
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim()).toBe("1");
    expect(rig.database.query("SELECT * FROM network_host_setting").all()).toEqual([
      { name: "net.ipv4.ip_forward", previous: "0" },
    ]);
    const rules = table();
    expect(rules).toStartWith("table inet tsd {");
    expect(rules).toContain('set bridges { type ifname elements = { "tsd0" } }');
    expect(rules).toContain('elements = { ipv4 . "tsd0", ipv6 . "tsd0" }');
  });

  test("let containers reach each other, the host and the outside; nobody outside reaches them", async () => {
    const a = await attach(networks, newId());
    const b = await attach(networks, newId());
    using _inside = serve(b.namespacePath!, 8001);
    using _host = serve(rig.bed.host, 8002);
    using _outside = serve(rig.bed.outside, 8003);
    expect(await ask(a.namespacePath!, b.ipv4!, 8001)).toBe(a.ipv4!);
    expect(await ask(a.namespacePath!, a.ipv4Gateway!, 8002)).toBe(a.ipv4!);
    expect(await ask(rig.bed.host, b.ipv4!, 8001)).toBe(a.ipv4Gateway!);
    // Masqueraded: the outside has no route to the container and sees the host.
    expect(await ask(a.namespacePath!, outsideAddress, 8003)).toBe(hostAddress);
    within(rig.bed.outside, () => run("ip", "route", "add", "172.28.0.0/16", "via", hostAddress));
    expect(await ask(rig.bed.outside, b.ipv4!, 8001, 300)).toBe("no answer");
  });

  test("give none a loopback alone, host no namespace, and container:ID the other's", async () => {
    const [none, host, other] = [newId(), newId(), newId()];
    const lonely = await networks.attach(none, { kind: "none" });
    expect(lonely).toMatchObject({ kind: "none", endpoints: [{ networkName: "none", driver: "null" }] });
    within(lonely.namespacePath!, () => expect(ip("link").map((link) => link.ifname)).toEqual(["lo"]));
    using _server = serve(lonely.namespacePath!, 8001);
    expect(await ask(lonely.namespacePath!, "127.0.0.1", 8001)).toBe("127.0.0.1");

    const hosts = await networks.attach(host, { kind: "host" });
    expect(hosts.namespacePath).toBeUndefined();
    expect(hosts).toMatchObject({
      kind: "host",
      endpoints: [{ networkName: "host", networkId: networks.list()[1]!.id }],
    });

    const joined = await networks.attach(other, { kind: "container", namespacePath: "/proc/1/ns/net" });
    expect(joined).toMatchObject({ kind: "container", namespacePath: "/proc/1/ns/net", endpoints: [] });
    expect(networks.sandbox(other)).toBeUndefined();
    expect(interfaces()).toEqual([]);
    for (const id of [none, host, other]) await networks.detach(id);
    expect(everybody()).toEqual([]);
  });

  test("leave nothing behind when containers go and the daemon ends", async () => {
    const namespaces = heldNamespaces();
    const ids = Array.from({ length: 10 }, () => newId());
    for (const id of ids) await attach(networks, id);
    await networks.attach(newId(), { kind: "none" });
    // Long enough for the spares.
    await Bun.sleep(60);
    for (const id of ids) await networks.detach(id);
    await networks.detach("never attached");
    await networks.settled();
    expect(networks.members(networks.find("bridge").id)).toEqual([]);
    await networks.close();
    expect(interfaces()).toEqual([]);
    expect(ip("route").map((route) => route.dst)).toEqual(["default", "192.0.2.0/24"]);
    expect(table()).toBe("");
    expect(rig.database.query("SELECT count(*) AS n FROM network_address").get()).toEqual({ n: 0 });
    expect(heldNamespaces()).toBe(namespaces);
  });

  test("have a spare ready that the next container gets, and do without one that was tampered with", async () => {
    await attach(networks, newId());
    await Bun.sleep(60);
    expect(interfaces().filter((name) => name.startsWith("veth")).length).toBe(2);
    const second = await attach(networks, newId());
    expect(second.ipv4).toBe("172.28.0.3");
    expect(interfaces().filter((name) => name.startsWith("veth")).length).toBe(2);
    await Bun.sleep(60);
    const spare = interfaces().find((name) => name.startsWith("veth") && !vethOf(second).includes(name))!;
    for (const name of interfaces())
      if (name.startsWith("veth") && name !== vethOf(second)) run("ip", "link", "del", name);
    expect(spare).toBeDefined();
    const third = await attach(networks, newId());
    expect(ip("link", "show", "dev", vethOf(third))[0]).toMatchObject({ master: "tsd0" });
    within(third.namespacePath!, () => expect(ip("addr", "show", "dev", "eth0").length).toBe(1));
  });

  test("have what a container in a user namespace needs ready when they are told, for that one alone", async () => {
    const first = await attach(networks, newId());
    await Bun.sleep(60);
    const veths = () => interfaces().filter((name) => name.startsWith("veth"));
    const on = networksRequest(endpointRequest(networks.find("bridge").id));
    using users = makeUsers();
    networks.prepare(users, true);
    expect(veths()).toHaveLength(3);
    const mapped = await networks.attach(newId(), { ...on, userNamespace: users });
    expect([first.ipv4, mapped.endpoints[0]!.ipv4]).toEqual(["172.28.0.2", "172.28.0.4"]);
    expect(veths()).toHaveLength(3);
    expect(ownerOf(mapped.namespacePath!)).toBe(nameOf(users));
    // What nobody takes gives way to what is made for others.
    networks.prepare(users, true);
    expect(veths()).toHaveLength(4);
    using others = makeUsers();
    networks.prepare(others, false);
    await networks.settled();
    expect(veths()).toHaveLength(3);
    const none = await networks.attach(newId(), { kind: "none", userNamespace: others });
    expect(ownerOf(none.namespacePath!)).toBe(nameOf(others));
    within(none.namespacePath!, () => expect(ip("link").map((link) => link.ifname)).toEqual(["lo"]));
  });

  const makeUsers = (): Fd =>
    createUserNamespace((pid) => {
      for (const file of ["uid_map", "gid_map"]) writeFileSync(`/proc/${pid}/${file}`, "0 300000 10\n");
    });
  const nameOf = ({ number }: Fd): string => readlinkSync(`/proc/self/fd/${number}`);
  const ownerOf = (path: string): string => {
    using namespace = open(path, O_RDONLY);
    using owner = owningUserNamespace(namespace);
    return nameOf(owner);
  };

  const vethOf = (endpoint: Attached): string => `veth${endpoint.endpointId.slice(0, 11)}`;

  test("take a container's interface away although another container holds its namespace", async () => {
    const id = newId();
    const endpoint = await attach(networks, id);
    using held = open(endpoint.namespacePath!, O_RDONLY);
    await networks.detach(id);
    await networks.settled();
    expect(interfaces()).not.toContain(vethOf(endpoint));
    within(held, () => expect(ip("link").map((link) => link.ifname)).toEqual(["lo"]));
  });

  /** A daemon that attaches the containers and is killed. The first one's namespace is held on to, as its processes do. */
  function attachAndBeKilled(ids: string[]): Promise<{ endpoints: Attached[]; held: Fd }> {
    const statements = `
      said = [];
      for (const id of ${JSON.stringify(ids)}) said.push(await testing.attach(networks, id));
      await networks.attach("on-host", { kind: "host" });
      await Bun.sleep(60);`;
    const hold = (endpoints: Attached[]) => ({ endpoints, held: open(endpoints[0]!.namespacePath!, O_RDONLY) });
    return rig.inKilledDaemon(statements, hold);
  }

  test("after the daemon was killed keep what lives, drop what died, and give no address twice", async () => {
    const [alive, dead] = [newId(), newId()];
    const { endpoints, held } = await attachAndBeKilled([alive, dead]);
    using _held = held;
    const [kept] = endpoints;
    const generation = table();
    networks = rig.make();
    await networks.restore(new Map([[alive, { namespacePath: heldPath(held) }]]));

    // The dead one's namespace and the spare's went with the daemon, their veths with them or with restore.
    expect(interfaces().sort()).toEqual(["tsd0", vethOf(kept!)].sort());
    expect(table()).toBe(generation);
    // The path was the old daemon's own.
    const { namespacePath, ...rest } = kept!.sandbox;
    expect(networks.sandbox(alive)).toMatchObject(rest);
    expect(networks.sandbox(alive)!.namespacePath).not.toBe(namespacePath);
    expect(networks.sandbox(dead)).toBeUndefined();
    expect(everybody()).toEqual([alive]);

    const next = await attach(networks, newId());
    expect(next.ipv4).not.toBe(kept!.ipv4);
    using _server = serve(held, 8001);
    expect(await ask(next.namespacePath!, kept!.ipv4!, 8001)).toBe(next.ipv4!);
    await networks.detach(alive);
    await networks.settled();
    expect(interfaces()).not.toContain(vethOf(kept!));
  });

  test("take away at the end what a killed daemon has left, and this one never used", async () => {
    const { held } = await attachAndBeKilled([newId()]);
    held.close();
    networks = rig.make();
    await networks.restore(new Map());
    await networks.settled();
    await networks.close();
    expect(interfaces()).toEqual([]);
    expect(table()).toBe("");
  });

  test("after a restart put back a bridge, an address and a table that somebody removed", async () => {
    const id = newId();
    const { endpoints, held } = await attachAndBeKilled([id]);
    using _held = held;
    const before = table();
    run("ip", "link", "del", "tsd0");
    run("nft", "flush", "ruleset");
    networks = rig.make();
    await networks.restore(new Map([[id, { namespacePath: heldPath(held) }]]));
    expect(table()).toBe(before);
    expect(ip("link", "show", "dev", vethOf(endpoints[0]!))[0]).toMatchObject({ master: "tsd0", operstate: "UP" });
    using _outside = serve(rig.bed.outside, 8003);
    expect(await ask(held, outsideAddress, 8003)).toBe(hostAddress);
  });

  test("put the bridge and the table back under a running daemon when the next container comes", async () => {
    const first = await attach(networks, newId());
    const before = table();
    run("nft", "flush", "ruleset");
    await attach(networks, newId());
    expect(table()).toBe(before);
    run("ip", "link", "del", "tsd0");
    const third = await attach(networks, newId());
    using _outside = serve(rig.bed.outside, 8003);
    expect(await ask(third.namespacePath!, outsideAddress, 8003)).toBe(hostAddress);
    expect(await ask(first.namespacePath!, outsideAddress, 8003)).toBe(hostAddress);
  });

  test("choose a subnet that no route of the host is in, and move from one that a VPN has taken since", async () => {
    run("ip", "route", "add", "172.28.0.0/15", "via", outsideAddress);
    const id = newId();
    expect((await attach(networks, id)).ipv4).toBe("172.30.0.2");
    await networks.detach(id);
    await networks.settled();
    // A second daemon, which has never seen the route to come.
    const second = rig.make();
    run("ip", "route", "add", "172.30.0.0/16", "via", outsideAddress, "table", "51820");
    expect((await attach(second, id)).ipv4).toBe("172.31.0.2");
    expect(ip("-4", "addr", "show", "dev", "tsd0")[0]!.addr_info).toEqual([
      expect.objectContaining({ local: "172.31.0.1" }),
    ]);
    await second.close();
  });

  test("refuse a fixed subnet that collides, and name the route in the way", async () => {
    run("ip", "route", "add", "10.0.0.0/8", "via", outsideAddress);
    const fixed = rig.make({ addresses: { address: "10.1.0.1/24" } });
    await expect(attach(fixed, "0123456789ab")).rejects.toThrow(
      "network of container 0123456789ab: network bridge: subnet 10.1.0.0/24 overlaps with route 10.0.0.0/8 via 192.0.2.1 dev eth0",
    );
    expect(interfaces()).toEqual([]);
    expect(table()).toBe("");
    run("ip", "route", "del", "10.0.0.0/8");
    expect(await attach(fixed, newId())).toMatchObject({
      ipv4: "10.1.0.2",
      ipv4Gateway: "10.1.0.1",
      ipv4PrefixLength: 24,
    });
    await fixed.close();
  });

  test("refuse an interface of that name that is not tsd's, and leave it alone", async () => {
    run("ip", "link", "add", "tsd0", "type", "bridge");
    await expect(attach(networks, newId())).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("interface tsd0 is there already, and is not this daemon's"),
      hint: expect.stringContaining("--bridge"),
    });
    await networks.close();
    expect(interfaces()).toEqual(["tsd0"]);
    expect(table()).toBe("");
    networks = rig.make({ name: "tsd1" });
    await attach(networks, newId());
    expect(interfaces()).toContain("tsd1");
  });

  /** Runs with a method that fails, before it does its work or after. */
  async function failing<T extends object>(
    prototype: T,
    method: keyof T & string,
    when: "before" | "after",
    use: () => Promise<void>,
  ): Promise<void> {
    const original = prototype[method] as (...args: unknown[]) => unknown;
    Object.assign(prototype, {
      [method]: function (this: T, ...args: unknown[]): void {
        if (when === "after") original.apply(this, args);
        throw new Error(`${method} failed`);
      },
    });
    try {
      await use();
    } finally {
      Object.assign(prototype, { [method]: original });
    }
  }

  test("undo an attachment that fails at any stage: interface, namespace, address", async () => {
    const stages: [() => Promise<void>, string][] = [
      [() => failing(NetworkRecords.prototype, "addSandbox", "after", refused), "addSandbox failed"],
      [() => failing(BridgeDevice.prototype, "create", "before", refused), "create failed"],
      [() => failing(BridgeDevice.prototype, "create", "after", refused), "create failed"],
      [() => failing(NetworkNamespace.prototype, "configure", "before", refused), "configure failed"],
      [() => failing(NetworkNamespace.prototype, "configure", "after", refused), "configure failed"],
    ];
    let expected = "";
    const refused = async (): Promise<void> => {
      await expect(attach(networks, newId())).rejects.toThrow(expected);
    };
    const namespaces = heldNamespaces();
    await networks.close();
    networks = rig.make({ addresses: { address: "10.1.0.1/29" } });
    for (const [stage, message] of stages) {
      expected = message;
      // Before a spare can be there.
      await stage();
      await networks.settled();
      expect(interfaces()).toEqual(["tsd0"]);
      expect(heldNamespaces()).toBe(namespaces);
      for (const name of ["sandbox", "endpoint", "address"]) {
        expect(rig.database.query(`SELECT count(*) AS n FROM network_${name} WHERE 1`).get()).toEqual({ n: 0 });
      }
    }
    // None of the subnet's five addresses was lost on the way.
    for (let i = 0; i < 5; i++) await attach(networks, newId());
    expect(everybody().length).toBe(5);
  });

  test("make nothing when the host cannot be prepared, and take the MTU of the way out", async () => {
    run("ip", "link", "set", "eth0", "mtu", "9000");
    await failing(NetworkRecords.prototype, "rememberHostSetting", "before", async () => {
      await expect(attach(networks, newId())).rejects.toThrow("rememberHostSetting failed");
    });
    expect(interfaces()).toEqual([]);
    expect(table()).toBe("");
    const { namespacePath } = await attach(networks, newId());
    within(namespacePath!, () => expect(ip("link", "show", "dev", "eth0")[0]).toMatchObject({ mtu: 9000 }));
  });

  test("refuse a second attachment, a full subnet, and configuration that cannot be", async () => {
    const id = newId();
    await networks.close();
    networks = rig.make({ addresses: { address: "10.1.0.1/30" } });
    await attach(networks, id);
    await expect(networks.attach(id, { kind: "none" })).rejects.toThrow("is attached to its network already");
    await expect(attach(networks, newId())).rejects.toThrow(
      "no available IPv4 addresses on this network's address pools: 10.1.0.0/30",
    );
    expect(everybody().length).toBe(1);
    const wrong: [Partial<NetworksOptions["bridge"]>, string][] = [
      [{ name: "much-too-long-a-name" }, "is no name for an interface"],
      [{ name: "a b" }, "is no name for an interface"],
      [{ addresses: { address: "10.1.0.1" } }, "--bip 10.1.0.1: not an IPv4 address with a prefix length"],
      [{ addresses: { address: "10.1.0.0/24" } }, "invalid gateway 10.1.0.0: 10.1.0.0 is the subnet's own address"],
    ];
    for (const [options, message] of wrong) expect(() => rig.make(options)).toThrow(message);
    expect(() => rig.make({}, { pools: ["10.0.0.0/8 size 7"] })).toThrow("no subnet of that size fits");
  });

  test("two daemons side by side have a bridge, a subnet and a table each", async () => {
    const other = openDatabase(":memory:", [networkSchema, portsSchema]);
    const second = new Networks({
      database: other,
      table: "tsd-1",
      companions: rig.companions.options,
      bridge: { name: "tsd1" },
    });
    const a = await attach(networks, newId());
    const b = await attach(second, newId());
    expect([a.ipv4, b.ipv4]).toEqual(["172.28.0.2", "172.29.0.2"]);
    // Networks are kept apart.
    using _server = serve(b.namespacePath!, 8001);
    expect(await ask(a.namespacePath!, b.ipv4!, 8001, 300)).toBe("no answer");
    await second.detach(everybody(second)[0]!);
    await second.close();
    expect(interfaces()).not.toContain("tsd1");
    expect(interfaces()).toContain("tsd0");
    expect(table()).not.toContain("tsd1");
  });
});
