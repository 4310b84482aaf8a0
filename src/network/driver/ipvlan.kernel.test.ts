import { describe, expect, test } from "bun:test";
import { newId } from "../../core/id.ts";
import type { Network, NetworkRequest } from "../network.ts";
import type { Networks } from "../networks.ts";
import { Rig } from "../rig.ts";
import { ask, hostAddress, ip, outsideAddress, run, serve, within } from "../testbed.ts";
import { type Attached, attach, hasLinkKind, networkRequest } from "../testing.ts";

const root = process.getuid?.() === 0;
const lan = { subnet: "192.0.2.0/24", ipRange: "192.0.2.128/25", gateway: outsideAddress };
/** Where the processor is emulated an answer takes its time. */
const patienceMs = 10_000;
const hostAddress6 = "2001:db8:2::2";
const outsideAddress6 = "2001:db8:2::1";

describe.skipIf(!root || !hasLinkKind("ipvlan", "mode", "l2"))("ipvlan networks", () => {
  let networks: Networks;
  const rig = new Rig(() => {
    run("ip", "-6", "addr", "add", `${hostAddress6}/64`, "dev", "eth0", "nodad");
    within(rig.bed.outside, () => run("ip", "-6", "addr", "add", `${outsideAddress6}/64`, "dev", "eth0", "nodad"));
    networks = rig.make();
  });

  const create = async (name: string, more: Partial<NetworkRequest> = {}): Promise<Network> => {
    const options = { parent: "eth0", ...more.options };
    const request = { driver: "ipvlan", subnets: [lan], ...more, options };
    return (await networks.create(networkRequest(name, request))).network;
  };
  const inside = (endpoint: Attached, ...args: string[]): Record<string, unknown>[] =>
    within(endpoint.namespacePath, () => ip(...args));

  test("of mode l2 put containers on the link with the parent's MAC address: they reach each other, not the host", async () => {
    await create("x");
    const [id, a, b] = [newId(), await attach(networks, newId(), "x"), await attach(networks, newId(), "x")];
    expect(a).toMatchObject({ driver: "ipvlan", ipv4: "192.0.2.128" });
    expect(a.mac).toBeUndefined();
    const parent = ip("link", "show", "dev", "eth0")[0]!.address;
    expect(inside(a, "link", "show", "dev", "eth0")[0]).toMatchObject({
      address: parent!,
      linkinfo: { info_kind: "ipvlan", info_data: { mode: "l2" } },
    });
    expect(inside(a, "route", "show", "default")[0]).toMatchObject({ gateway: outsideAddress });
    using _inside = serve(b.namespacePath, 8001);
    using _host = serve(rig.bed.host, 8002);
    using _outside = serve(rig.bed.outside, 8003);
    expect(await ask(a.namespacePath, b.ipv4!, 8001, patienceMs)).toBe(a.ipv4!);
    expect(await ask(a.namespacePath, outsideAddress, 8003, patienceMs)).toBe(a.ipv4!);
    expect(await ask(rig.bed.outside, b.ipv4!, 8001, patienceMs)).toBe(outsideAddress);
    expect(await ask(a.namespacePath, hostAddress, 8002, 300)).toBe("no answer");
    await expect(attach(networks, id, "x", { mac: "02:42:00:00:00:07" })).rejects.toThrow(
      "a MAC address cannot be set: it has its parent's",
    );
  });

  test("keep containers from each other with the flags private and vepa", async () => {
    for (const flag of ["private", "vepa"]) {
      const network = await create(flag, { options: { ipvlan_flag: flag } });
      const [first, second] = [newId(), newId()];
      const a = await attach(networks, first, flag);
      const b = await attach(networks, second, flag);
      using _inside = serve(b.namespacePath, 8001);
      expect(await ask(a.namespacePath, b.ipv4!, 8001, 300)).toBe("no answer");
      expect(await ask(rig.bed.outside, b.ipv4!, 8001, patienceMs)).toBe(outsideAddress);
      for (const id of [first, second]) await networks.detach(id);
      await networks.remove(network.id);
    }
  });

  test.each(["l3", "l3s"])(
    "of mode %s route between subnets and to the outside, by the interface alone",
    async (mode) => {
      const subnets = [
        { subnet: "10.7.0.0/24", gateway: "10.7.0.1" },
        { subnet: "10.8.0.0/24" },
        { subnet: "fd00:7::/64" },
      ];
      await create("x", { subnets, options: { ipvlan_mode: mode } });
      within(rig.bed.outside, () => {
        for (const { subnet } of subnets) {
          const via = subnet.includes(":") ? hostAddress6 : hostAddress;
          run("ip", "route", "add", subnet, "via", via);
        }
      });
      const a = await attach(networks, newId(), "x");
      const b = await attach(networks, newId(), "x", { ipv4: "10.8.0.9" });
      expect([a.ipv4Gateway, a.ipv6Gateway]).toEqual([undefined, undefined]);
      for (const family of ["-4", "-6"]) {
        const [route, ...others] = inside(a, family, "route", "show", "default");
        expect(route).toMatchObject({ dst: "default", dev: "eth0" });
        expect(route).not.toHaveProperty("gateway");
        expect(others).toEqual([]);
      }
      using _inside = serve(b.namespacePath, 8001, "::");
      using _outside = serve(rig.bed.outside, 8003, "::");
      expect(await ask(a.namespacePath, "10.8.0.9", 8001, patienceMs)).toBe(`::ffff:${a.ipv4}`);
      expect(await ask(a.namespacePath, b.ipv6!, 8001, patienceMs)).toBe(a.ipv6!);
      expect(await ask(a.namespacePath, outsideAddress, 8003, patienceMs)).toBe(`::ffff:${a.ipv4}`);
      expect(await ask(a.namespacePath, outsideAddress6, 8003, patienceMs)).toBe(a.ipv6!);
      expect(await ask(rig.bed.outside, "10.8.0.9", 8001, patienceMs)).toBe(`::ffff:${outsideAddress}`);
    },
  );

  test("are refused a parent that carries something else, another mode on the same parent, and modes that are none", async () => {
    await create("x");
    await expect(create("y", { subnets: [{ subnet: "10.7.0.0/24" }], options: { ipvlan_mode: "l3" } })).rejects.toThrow(
      "network y: ipvlan network x is already using parent interface eth0 in mode l2, flag bridge",
    );
    await expect(create("y", { options: { ipvlan_mode: "l4" } })).rejects.toThrow(
      "network y: requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default",
    );
    run("ip", "link", "add", "link", "eth0", "name", "mac7", "type", "macvlan");
    await expect(attach(networks, newId(), "x")).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining(
        "failed to create the ipvlan port: parent interface eth0 carries something else",
      ),
    });
    run("ip", "link", "del", "mac7");
    expect((await attach(networks, newId(), "x")).ipv4).toBe("192.0.2.129");
  });
});
