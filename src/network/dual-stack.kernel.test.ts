import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { newId } from "../core/id.ts";
import type { Networks } from "./networks.ts";
import { Rig } from "./rig.ts";
import { ask, ip, run, serve, within } from "./testbed.ts";
import { attach, networkRequest } from "./testing.ts";

const root = process.getuid?.() === 0;
const hostAddress6 = "2001:db8:2::2";
const outsideAddress6 = "2001:db8:2::1";

describe.skipIf(!root)("networks of both families", () => {
  let networks: Networks;
  const rig = new Rig(() => {
    writeFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "0");
    run("ip", "-6", "addr", "add", `${hostAddress6}/64`, "dev", "eth0", "nodad");
    run("ip", "-6", "route", "add", "default", "via", outsideAddress6);
    within(rig.bed.outside, () => run("ip", "-6", "addr", "add", `${outsideAddress6}/64`, "dev", "eth0", "nodad"));
    networks = rig.make();
  });

  const addresses = (name: string): string[] =>
    (ip("addr", "show", "dev", name)[0]!.addr_info as { local: string; prefixlen: number; scope: string }[])
      .filter(({ scope }) => scope === "global")
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  const settings = (): unknown[] => rig.database.query("SELECT name, previous FROM network_host_setting").all();

  test("give containers of the default bridge addresses and ways out in both, by a prefix of this daemon's own", async () => {
    const a = await attach(networks, newId());
    const b = await attach(networks, newId());
    const [, six] = networks.find("bridge").subnets;
    expect(six!.subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/64$/);
    const prefix = six!.subnet.slice(0, -"::/64".length);
    expect(addresses("tsd0")).toEqual(["172.28.0.1/16", `${prefix}::1/64`]);
    expect(a).toMatchObject({ ipv6: `${prefix}::2`, ipv6PrefixLength: 64, ipv6Gateway: `${prefix}::1` });
    within(a.namespacePath, () => {
      expect(addresses("eth0")).toEqual(["172.28.0.2/16", `${prefix}::2/64`]);
      expect(ip("-6", "route", "show", "default")[0]).toMatchObject({ gateway: `${prefix}::1`, dev: "eth0" });
    });
    expect(settings()).toEqual([
      { name: "net.ipv4.ip_forward", previous: "0" },
      { name: "net.ipv6.conf.all.forwarding", previous: "0" },
    ]);
    using _inside = serve(b.namespacePath, 8001, "::");
    using _host = serve(rig.bed.host, 8002, "::");
    using _outside = serve(rig.bed.outside, 8003, "::");
    expect(await ask(a.namespacePath, b.ipv6!, 8001)).toBe(a.ipv6!);
    expect(await ask(a.namespacePath, a.ipv6Gateway!, 8002)).toBe(a.ipv6!);
    // Masqueraded: the outside has no route to the container and sees the host.
    expect(await ask(a.namespacePath, outsideAddress6, 8003)).toBe(hostAddress6);
    within(rig.bed.outside, () => run("ip", "-6", "route", "add", "fd00::/8", "via", hostAddress6));
    expect(await ask(rig.bed.outside, b.ipv6!, 8001, 300)).toBe("no answer");
  });

  test("show what the default bridge will have before it is made, and keep to it unless something comes into the way", async () => {
    const [first] = networks.list();
    expect(first!.subnets.map(({ subnet }) => subnet)).toEqual([
      "172.28.0.0/16",
      expect.stringMatching(/^fd.*::\/64$/),
    ]);
    expect(ip("link").map(({ ifname }) => ifname)).toEqual(["lo", "eth0"]);
    expect(settings()).toEqual([]);
    run("ip", "route", "add", "172.28.0.0/16", "via", "192.0.2.1");
    expect(await attach(networks, newId())).toMatchObject({ ipv4: "172.29.0.2" });
    expect(networks.find("bridge").subnets[1]).toEqual(first!.subnets[1]!);
  });

  test("have the same prefix after a restart, and a subnet number each", async () => {
    const { ipv6 } = await attach(networks, newId());
    const { network } = await networks.create(networkRequest("x"));
    await networks.close();
    networks = rig.make();
    const [first] = networks.find("bridge").subnets.slice(1);
    const [second] = network.subnets.slice(1);
    const prefix = first!.subnet.slice(0, -"::/64".length);
    expect(ipv6).toBe(`${prefix}::2`);
    expect(second!.subnet).toBe(`${prefix}:1::/64`);
    expect((await networks.create(networkRequest("y"))).network.subnets[1]!.subnet).toBe(`${prefix}:2::/64`);
    expect((await attach(networks, newId(), "x")).ipv6).toBe(`${prefix}:1::2`);
  });

  test("keep out of the way of IPv6 routes, and name them when they are asked for the same", async () => {
    run("ip", "-6", "route", "add", "fd00:7::/48", "dev", "eth0", "table", "77");
    const wanted = networkRequest("x", { subnets: [{ subnet: "fd00:7:0:1::/64" }] });
    await expect(networks.create(wanted)).rejects.toThrow(
      "network x: subnet fd00:7:0:1::/64 overlaps with route fd00:7::/48 dev eth0 table 77",
    );
    const pools = ["fd00:7::/47 size 64"];
    const other = rig.make({ name: "tsd9" }, { pools });
    try {
      expect((await attach(other, newId())).ipv6).toBe("fd00:7:1::2");
    } finally {
      await other.close();
    }
  });

  test("are what the daemon was told: subnets, ranges, another gateway, or no IPv6 at all", async () => {
    await networks.close();
    networks = rig.make({
      addresses: {
        address: "10.1.0.1/16",
        range: "10.1.4.0/24",
        gateway: "10.1.0.254",
        address6: "fd00:1::1/64",
        range6: "fd00:1::4:0/112",
      },
    });
    const a = await attach(networks, newId());
    expect(a).toMatchObject({ ipv4: "10.1.4.0", ipv4Gateway: "10.1.0.254", ipv6: "fd00:1::4:0" });
    within(a.namespacePath, () => {
      expect(ip("route", "show", "default")[0]).toMatchObject({ gateway: "10.1.0.254" });
    });
    expect(addresses("tsd0")).toEqual(["10.1.0.1/16", "fd00:1::1/64"]);
    await networks.detach((await containerOn("bridge"))!);
    await networks.close();
    networks = rig.make({ ipv6: false, options: { "com.docker.network.driver.mtu": "1400" } }, { forwarding: false });
    const b = await attach(networks, newId());
    expect(b).toMatchObject({ ipv4: "172.28.0.2" });
    expect(b.ipv6).toBeUndefined();
    within(b.namespacePath, () => expect(ip("link", "show", "dev", "eth0")[0]).toMatchObject({ mtu: 1400 }));
  });

  const containerOn = async (network: string): Promise<string | undefined> =>
    networks.members(networks.find(network).id)[0]?.containerId;

  test("leave forwarding to the administrator who says so", async () => {
    await networks.close();
    networks = rig.make({}, { forwarding: false });
    await attach(networks, newId());
    expect(settings()).toEqual([]);
    expect(readFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "utf8")).toBe("0\n");
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8")).toBe("0\n");
  });

  test("are of IPv4 alone on a host without IPv6, unless IPv6 was asked for", async () => {
    writeFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    await networks.close();
    const reason = "the host has no IPv6: net.ipv6.conf.all.disable_ipv6 is 1";
    expect(() => rig.make({ ipv6: true })).toThrow(`network bridge: ${reason}`);
    networks = rig.make();
    const a = await attach(networks, newId());
    expect(a.ipv4).toBe("172.28.0.2");
    expect(a.ipv6).toBeUndefined();
    within(a.namespacePath, () => expect(ip("-6", "addr", "show", "dev", "eth0")).toEqual([]));
    expect((await networks.create(networkRequest("x"))).network.enableIpv6).toBe(false);
    await expect(networks.create(networkRequest("y", { enableIpv6: true }))).rejects.toThrow(`network y: ${reason}`);
  });

  test("that are there already are of IPv4 alone once the host has no IPv6, and of both when it has again", async () => {
    await networks.create(networkRequest("x"));
    await networks.create(networkRequest("six", { enableIpv4: false }));
    await networks.close();
    writeFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    networks = rig.make();
    await networks.restore(new Map());
    const a = await attach(networks, newId(), "x");
    expect([a.ipv4, a.ipv6]).toEqual(["172.28.0.2", undefined]);
    await expect(attach(networks, newId(), "six")).rejects.toThrow("network six: the host has no IPv6");
    await expect(attach(networks, newId(), "x", { ipv6: "fd00::9" })).rejects.toThrow("it has no IPv6");
    writeFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
    await networks.detach((await containerOn("x"))!);
    await networks.close();
    networks = rig.make();
    expect((await attach(networks, newId(), "x")).ipv6).toMatch(/^fd.*::2$/);
    expect((await attach(networks, newId(), "six")).ipv6).toMatch(/^fd.*::2$/);
  });

  test("have no IPv6 on an MTU that it does not work with, and a larger one than a way out that is narrow", async () => {
    const mtu = { "com.docker.network.driver.mtu": "1000" };
    expect(() => rig.make({ ipv6: true, options: mtu })).toThrow(
      "network bridge: IPv6 needs an MTU of at least 1280 bytes",
    );
    await networks.close();
    networks = rig.make({ options: mtu });
    const a = await attach(networks, newId());
    expect([a.ipv4, a.ipv6]).toEqual(["172.28.0.2", undefined]);
    within(a.namespacePath, () => expect(ip("link", "show", "dev", "eth0")[0]).toMatchObject({ mtu: 1000 }));
    run("ip", "link", "set", "eth0", "mtu", "1200");
    await networks.create(networkRequest("x"));
    const b = await attach(networks, newId(), "x");
    expect(b.ipv6).toBeDefined();
    within(b.namespacePath, () => expect(ip("link", "show", "dev", "eth0")[0]).toMatchObject({ mtu: 1280 }));
  });
});
