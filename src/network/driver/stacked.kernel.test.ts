import { describe, expect, test } from "bun:test";
import { newId } from "../../core/id.ts";
import type { Network, NetworkRequest } from "../network.ts";
import type { Networks } from "../networks.ts";
import { interfaces, Rig } from "../rig.ts";
import { ask, hostAddress, ip, outsideAddress, run, serve, within } from "../testbed.ts";
import { type Attached, attach, hasLinkKind, holdNamespace, networkRequest } from "../testing.ts";

const root = process.getuid?.() === 0;
const lan = { subnet: "192.0.2.0/24", ipRange: "192.0.2.128/25", gateway: outsideAddress };
const lan6 = { subnet: "2001:db8:2::/64", gateway: "2001:db8:2::1" };

describe.skipIf(!root)("macvlan networks", () => {
  let networks: Networks;
  const rig = new Rig(() => {
    networks = rig.make();
  });

  const create = async (name: string, more: Partial<NetworkRequest> = {}): Promise<Network> => {
    const options = { parent: "eth0", ...more.options };
    const request = { driver: "macvlan", subnets: [lan], ...more, options };
    return (await networks.create(networkRequest(name, request))).network;
  };
  const inside = (endpoint: Attached, ...args: string[]): Record<string, unknown>[] =>
    within(endpoint.namespacePath, () => ip(...args));

  test("put containers on the link of the host, beside the host: they reach each other and others, not the host", async () => {
    await create("x", { subnets: [lan, lan6] });
    within(rig.bed.outside, () => run("ip", "-6", "addr", "add", "2001:db8:2::1/64", "dev", "eth0", "nodad"));
    const a = await attach(networks, newId(), "x");
    const b = await attach(networks, newId(), "x", { ipv4: "192.0.2.7", mac: "02:42:00:00:00:77" });
    expect(a).toMatchObject({
      driver: "macvlan",
      ipv4: "192.0.2.128",
      ipv6: "2001:db8:2::2",
      mac: "02:42:c0:00:02:80",
    });
    // Nothing of it is on the host, and the host does not forward for it.
    expect(interfaces()).toEqual([]);
    expect(rig.database.query("SELECT * FROM network_host_setting").all()).toEqual([]);
    expect(inside(a, "link", "show", "dev", "eth0")[0]).toMatchObject({
      address: "02:42:c0:00:02:80",
      operstate: "UP",
      linkinfo: { info_kind: "macvlan", info_data: { mode: "bridge" } },
    });
    expect(inside(b, "link", "show", "dev", "eth0")[0]).toMatchObject({ address: "02:42:00:00:00:77" });
    expect(inside(a, "route", "show", "default")[0]).toMatchObject({ gateway: outsideAddress, dev: "eth0" });
    expect(inside(a, "-6", "route", "show", "default")[0]).toMatchObject({ gateway: "2001:db8:2::1", dev: "eth0" });
    using _inside = serve(b.namespacePath, 8001, "::");
    using _host = serve(rig.bed.host, 8002);
    using _outside = serve(rig.bed.outside, 8003, "::");
    expect(await ask(a.namespacePath, "192.0.2.7", 8001)).toBe("::ffff:192.0.2.128");
    expect(await ask(a.namespacePath, b.ipv6!, 8001)).toBe(a.ipv6!);
    // With its own address: nothing is translated.
    expect(await ask(a.namespacePath, outsideAddress, 8003)).toBe("::ffff:192.0.2.128");
    expect(await ask(a.namespacePath, "2001:db8:2::1", 8003)).toBe(a.ipv6!);
    expect(await ask(rig.bed.outside, "192.0.2.7", 8001)).toBe(`::ffff:${outsideAddress}`);
    expect(await ask(a.namespacePath, hostAddress, 8002, 300)).toBe("no answer");
  });

  test("have no way out without a gateway, and when they are internal", async () => {
    await create("x", { subnets: [{ subnet: lan.subnet }] });
    await create("y", { subnets: [{ subnet: "10.7.0.0/24", gateway: "10.7.0.1" }], internal: true });
    for (const name of ["x", "y"]) {
      const endpoint = await attach(networks, newId(), name);
      expect(endpoint.ipv4Gateway).toBeUndefined();
      expect(inside(endpoint, "route", "show", "default")).toEqual([]);
    }
  });

  test("keep containers from each other in the modes private and vepa, and have the MTU that they were given", async () => {
    for (const mode of ["private", "vepa"]) {
      const options = { macvlan_mode: mode, "com.docker.network.driver.mtu": "1400" };
      const network = await create(mode, { options });
      const [first, second] = [newId(), newId()];
      const a = await attach(networks, first, mode);
      const b = await attach(networks, second, mode);
      expect(inside(a, "link", "show", "dev", "eth0")[0]).toMatchObject({
        mtu: 1400,
        linkinfo: { info_data: { mode } },
      });
      using _inside = serve(b.namespacePath, 8001);
      expect(await ask(a.namespacePath, b.ipv4!, 8001, 300)).toBe("no answer");
      expect(await ask(rig.bed.outside, b.ipv4!, 8001)).toBe(outsideAddress);
      for (const id of [first, second]) await networks.detach(id);
      await networks.settled();
      await networks.remove(network.id);
    }
  });

  test("pass all through to one container with the parent's own address, and to no second one", async () => {
    const network = await create("x", { options: { macvlan_mode: "passthru" } });
    const parent = ip("link", "show", "dev", "eth0")[0]!.address;
    const id = newId();
    const a = await attach(networks, id, "x");
    expect(a.mac).toBeUndefined();
    expect(inside(a, "link", "show", "dev", "eth0")[0]).toMatchObject({ address: parent! });
    await expect(attach(networks, newId(), "x")).rejects.toThrow(
      "network x: failed to create the macvlan port: parent interface eth0 has other macvlan interfaces already",
    );
    expect(networks.members(network.id).length).toBe(1);
    await networks.detach(id);
    await expect(attach(networks, newId(), "x", { mac: "02:42:00:00:00:77" })).rejects.toThrow(
      "a MAC address cannot be set: it has its parent's",
    );
    // The subnet's own, the broadcast and the gateway's address alone: those refused have kept none.
    expect(networks.status(network.id)[0]!.inUse).toBe(3n);
    expect((await attach(networks, newId(), "x")).ipv4).toBe("192.0.2.131");
  });

  test("are there after a restart of the daemon, with what is on them, and go when it is gone", async () => {
    const network = await create("x");
    const [stays, goes] = [newId(), newId()];
    const a = await attach(networks, stays, "x");
    using held = await holdNamespace(a);
    await attach(networks, goes, "x");
    await networks.close();
    networks = rig.make();
    await networks.restore(new Map([[stays, { namespacePath: held.path }]]));
    expect(networks.members(network.id).map(({ containerId }) => containerId)).toEqual([stays]);
    expect(networks.sandbox(stays)!.endpoints[0]).toMatchObject({ ipv4: "192.0.2.128", interface: "eth0" });
    await expect(networks.remove(network.id)).rejects.toThrow("network x id");
    await networks.detach(stays);
    await networks.settled();
    // Also where another process holds the namespace.
    expect(within(held.path, () => ip("link")).map(({ ifname }) => ifname)).toEqual(["lo"]);
    await networks.remove(network.id);
    expect(interfaces()).toEqual([]);
    expect(rig.database.query("SELECT count(*) AS n FROM network_address").get()).toEqual({ n: 0 });
  });

  test("are finished after a restart whose interface a killed daemon had made and not named yet", async () => {
    await create("x");
    const id = newId();
    const a = await attach(networks, id, "x");
    using held = await holdNamespace(a);
    const [row] = rig.database
      .query<{ host_interface: string }, []>("SELECT host_interface FROM network_endpoint")
      .all();
    within(held.path, () => {
      run("ip", "link", "set", "eth0", "down");
      run("ip", "link", "set", "eth0", "name", row!.host_interface);
    });
    await networks.close();
    networks = rig.make();
    await networks.restore(new Map([[id, { namespacePath: held.path }]]));
    expect(within(held.path, () => ip("link")).map(({ ifname }) => ifname)).toEqual(["lo", "eth0"]);
    await networks.detach(id);
  });

  test("are joined and left by containers that run", async () => {
    const network = await create("x");
    const id = newId();
    const a = await attach(networks, id);
    const request = { networkId: network.id, names: [], links: [], driverOptions: {}, gatewayPriority: 1 };
    const sandbox = await networks.connect(id, request);
    expect(sandbox.endpoints.map(({ interface: name, driver }) => `${name} ${driver}`)).toEqual([
      "eth0 bridge",
      "eth1 macvlan",
    ]);
    expect(inside(a, "route", "show", "default")[0]).toMatchObject({ gateway: outsideAddress, dev: "eth1" });
    await networks.disconnect(id, network.id);
    expect(inside(a, "link").map(({ ifname }) => ifname)).toEqual(["lo", "eth0"]);
    expect(inside(a, "route", "show", "default")[0]).toMatchObject({ dev: "eth0" });
  });

  test("are refused what cannot be a parent, and leave nothing", async () => {
    run("ip", "link", "add", "br7", "type", "bridge");
    run("ip", "link", "add", "port7", "type", "veth", "peer", "name", "port8");
    run("ip", "link", "set", "port7", "master", "br7");
    const before = interfaces();
    const wrong: [Partial<NetworkRequest>, string, string][] = [
      [{ options: { parent: "eth7" } }, "not_found", "the requested parent interface eth7 was not found on the host"],
      [{ options: { parent: "eth7.10" } }, "not_found", "-o parent interface was not found on the host: eth7"],
      [{ options: { parent: "lo" } }, "invalid_argument", "loopback interface is not a valid macvlan parent link"],
      [{ options: { parent: "eth0.x" } }, "invalid_argument", "unable to parse a valid vlan id from: eth0.x"],
      [{ options: { parent: "eth0.4095" } }, "invalid_argument", "vlan id must be between 1-4094, received: 4095"],
      [
        { options: { macvlan_mode: "bridged" } },
        "invalid_argument",
        "requested macvlan mode 'bridged' is not valid, 'bridge' mode is the macvlan driver default",
      ],
    ];
    for (const [more, code, message] of wrong) {
      const failing = create("x", more);
      await expect(failing).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
      expect(networks.list().length).toBe(3);
    }
    await create("x", { options: { parent: "port7" } });
    await expect(attach(networks, newId(), "x")).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("network x: failed to create the macvlan port: parent interface port7 carries"),
    });
    expect(networks.members(networks.find("x").id)).toEqual([]);
    expect(interfaces()).toEqual(before);
  });

  test("share a parent with each other, but not with one that all is passed through to, nor with ipvlan", async () => {
    await create("x");
    const more = (subnet: string, mode: string) => ({ subnets: [{ subnet }], options: { macvlan_mode: mode } });
    await create("y", more("10.7.0.0/24", "private"));
    await expect(create("z", more("10.8.0.0/24", "passthru"))).rejects.toThrow(
      "network z: cannot use mode passthru, macvlan network x is already using parent interface eth0",
    );
    await expect(create("z", { driver: "ipvlan", subnets: [{ subnet: "10.8.0.0/24" }] })).rejects.toThrow(
      "network z: macvlan network x is already using parent interface eth0",
    );
    await networks.remove(networks.find("x").id);
    await networks.remove(networks.find("y").id);
    await create("z", more("10.8.0.0/24", "passthru"));
    await expect(create("x")).rejects.toThrow(
      "network x: macvlan network z is already using parent interface eth0 in mode passthru",
    );
  });

  test.skipIf(hasLinkKind("dummy"))("without a parent say that this kernel has no dummy interfaces", async () => {
    await expect(create("x", { options: { parent: "" } })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(
        /network x: parent interface dm-[0-9a-f]{12}: this kernel has no dummy interfaces/,
      ),
    });
    expect(networks.list().length).toBe(3);
  });

  test.skipIf(hasLinkKind("vlan", "id", "5"))("on a VLAN say that this kernel has none", async () => {
    await expect(create("x", { options: { parent: "eth0.5" } })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("network x: parent interface eth0.5: this kernel has no VLANs (802.1q)"),
    });
    expect(interfaces()).toEqual([]);
  });
});
