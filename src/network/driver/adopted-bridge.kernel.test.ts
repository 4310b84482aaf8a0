import { beforeEach, describe, expect, spyOn, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { newId } from "../../core/id.ts";
import { Firewall } from "../firewall/firewall.ts";
import type { NetworkRequest } from "../network.ts";
import type { Networks } from "../networks.ts";
import { interfaces, Rig } from "../rig.ts";
import { ask, ip, run, serve, within } from "../testbed.ts";
import { attach, networkRequest } from "../testing.ts";

const root = process.getuid?.() === 0;
const nameOption = "com.docker.network.bridge.name";
const bare = { options: { [nameOption]: "br7" } };
const lan = { ...bare, subnets: [{ subnet: "198.51.100.0/24", ipRange: "198.51.100.128/25" }] };

describe.skipIf(!root)("a bridge that is there already", () => {
  let networks: Networks;
  const rig = new Rig(
    () => {
      networks = rig.make();
    },
    { onDisk: true },
  );

  const create = async (name: string, more: Partial<NetworkRequest>) =>
    (await networks.create(networkRequest(name, more))).network;
  const sh = (script: string): string => run("sh", "-ec", script);
  const onBridge = (device = "br7"): string[] =>
    (ip("addr", "show", "dev", device)[0]!.addr_info as { local: string; prefixlen: number }[])
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`)
      .filter((address) => !address.startsWith("fe80"));
  const names = (): unknown => ip("link", "show", "dev", "br7")[0]!.altnames ?? [];
  const mac = (): unknown => ip("link", "show", "dev", "br7")[0]!.address;
  const setting = (file: string): string => readFileSync(`/proc/sys/net/${file}`, "utf8").trim();
  /** All of it that somebody can have set. */
  const state = (): unknown => {
    const {
      index: _index,
      stats64: _stats,
      operstate: _state,
      flags: _flags,
      ...link
    } = ip("link", "show", "dev", "br7")[0]!;
    return { addresses: onBridge(), altnames: names(), mac: link.address, mtu: link.mtu, alias: link.ifalias };
  };

  beforeEach(() => {
    sh(`ip link add br7 type bridge
      ip link set br7 mtu 1480 alias "the LAN"
      ip addr add 198.51.100.7/24 dev br7; ip addr add 198.51.100.200/32 dev br7
      ip link set br7 up
      for n in 1 2; do
        ip link add port$n address fa:0$n:02:03:04:05 master br7 type veth peer name eth7$n netns /proc/${process.pid}/fd/${rig.bed.outside.number}
        ip link set port$n up
      done`);
    within(rig.bed.outside, () =>
      sh("ip link set eth71 up; ip addr add 198.51.100.1/24 dev eth71; ip link set eth72 up"),
    );
  });

  test("carries a network with its own address as the gateway, and is as it was when that is removed", async () => {
    const before = state();
    const network = await create("lan", lan);
    expect(network).toMatchObject({
      device: "br7",
      subnets: [{ subnet: "198.51.100.0/24", gateway: "198.51.100.7", ipRange: "198.51.100.128/25" }],
    });
    expect(onBridge()).toEqual(["198.51.100.7/24", "198.51.100.200/32"]);
    expect(names()).toEqual([`tsd.${network.id.slice(0, 12)}`]);
    const id = newId();
    const container = await attach(networks, id, "lan");
    expect(container).toMatchObject({ ipv4: "198.51.100.128", ipv4Gateway: "198.51.100.7" });
    expect(within(container.namespacePath, () => ip("link", "show", "dev", "eth0")[0]!.mtu)).toBe(1480);
    await expect(attach(networks, newId(), "lan", { ipv4: "198.51.100.200" })).rejects.toThrow("already in use");
    // The other machine is on the same link, and neither side asks the host.
    using _served = serve(container.namespacePath, 8080);
    expect(await ask(rig.bed.outside, "198.51.100.128", 8080)).toBe("198.51.100.1");
    // The lowest of its ports', as before.
    expect(mac()).toBe("fa:01:02:03:04:05");
    await networks.detach(id);
    await networks.settled();
    await networks.remove(network.id);
    expect(state()).toEqual(before);
    expect(interfaces().sort()).toEqual(["br7", "port1", "port2"]);
  });

  test("gets what it lacks, and loses that and nothing else", async () => {
    sh("ip link del port1; ip link del port2; ip link set br7 down");
    writeFileSync("/proc/sys/net/ipv6/conf/br7/disable_ipv6", "1");
    writeFileSync("/proc/sys/net/ipv4/conf/br7/route_localnet", "1");
    const subnets = [{ subnet: "10.7.0.0/24", gateway: "10.7.0.9" }, { subnet: "fd00:7::/64" }];
    const network = await create("lan", { options: bare.options, subnets });
    expect(onBridge().sort()).toEqual(["10.7.0.9/24", "198.51.100.200/32", "198.51.100.7/24", "fd00:7::1/64"]);
    const own = mac();
    expect(own).toMatch(/^02/);
    const first = await attach(networks, newId(), "lan");
    expect(await attach(networks, newId(), "lan")).toMatchObject({ ipv6: "fd00:7::3", ipv6Gateway: "fd00:7::1" });
    // Without ports of its own it would have their MAC addresses.
    expect(mac()).toBe(own);
    using _served = serve(rig.bed.host, 8080);
    expect(await ask(first.namespacePath, "10.7.0.9", 8080)).toBe("10.7.0.1");
    for (const { containerId } of networks.members(network.id)) await networks.detach(containerId);
    await networks.settled();
    sh("ip addr add 10.8.0.1/24 dev br7");
    await networks.remove(network.id);
    expect(onBridge().sort()).toEqual(["10.8.0.1/24", "198.51.100.200/32", "198.51.100.7/24"]);
    expect(setting("ipv6/conf/br7/disable_ipv6")).toBe("1");
    expect(setting("ipv4/conf/br7/route_localnet")).toBe("1");
    expect(names()).toEqual([]);
  });

  test("is no obstacle to its own subnets, and one to subnets that are chosen", async () => {
    sh("ip route add 10.0.0.0/8 dev br7; ip route add 172.16.0.0/13 dev br7");
    const chosen = await create("chosen", bare);
    expect(chosen.subnets[0]!.subnet).toBe("172.28.0.0/16");
    expect(onBridge()).toContain("172.28.0.1/16");
    await networks.remove(chosen.id);
    expect((await create("own", { ...bare, subnets: [{ subnet: "10.1.0.0/16" }] })).subnets[0]!.gateway).toBe(
      "10.1.0.1",
    );
    const others = { options: {}, enableIpv6: false, subnets: [{ subnet: "198.51.100.0/25" }] };
    await expect(create("other", others)).rejects.toThrow(
      "subnet 198.51.100.0/25 overlaps with address 198.51.100.7/24 of br7",
    );
  });

  test("is left as it was by a daemon that was killed, once the network is removed", async () => {
    const before = state();
    const statements = `said = (await networks.create(testing.networkRequest("lan", ${JSON.stringify({
      ...bare,
      subnets: [{ subnet: "10.7.0.0/24" }],
    })}))).network.id;`;
    const id = await rig.inKilledDaemon<string, string>(statements, (said) => said);
    expect(onBridge()).toContain("10.7.0.1/24");
    networks = rig.make();
    await networks.restore(new Map());
    expect(onBridge()).toContain("10.7.0.1/24");
    await networks.remove(id);
    expect(state()).toEqual(before);
  });

  test("is left by a daemon that ends, taken again by the next, and missed when somebody removed it", async () => {
    const before = state();
    const network = await create("lan", { ...bare, subnets: [{ subnet: "10.7.0.0/24" }] });
    await networks.close();
    expect(state()).toEqual(before);
    // What is there now is the administrator's, who has added it meanwhile.
    sh("ip addr add 10.7.0.1/24 dev br7");
    networks = rig.make();
    await networks.restore(new Map());
    await networks.remove(network.id);
    expect(onBridge()).toContain("10.7.0.1/24");
    await create("lan", bare);
    await networks.close();
    sh("ip link del br7");
    networks = rig.make();
    await networks.restore(new Map());
    await expect(attach(networks, newId(), "lan")).rejects.toThrow(
      "network lan: bridge br7, which tsd did not make, is not there",
    );
    expect(interfaces()).not.toContain("br7");
    sh("ip link add br7 type bridge");
    await attach(networks, newId(), "lan");
    expect(names()).toHaveLength(1);
  });

  test("that is made anew beneath running containers is taken again, with them", async () => {
    const network = await create("lan", { ...bare, subnets: [{ subnet: "10.7.0.0/24" }] });
    const first = await attach(networks, newId(), "lan");
    sh("ip link del br7; ip link add br7 type bridge");
    await attach(networks, newId(), "lan");
    expect(onBridge()).toEqual(["10.7.0.1/24"]);
    using _served = serve(rig.bed.host, 8080);
    expect(await ask(first.namespacePath, "10.7.0.1", 8080)).toBe("10.7.0.2");
    for (const { containerId } of networks.members(network.id)) await networks.detach(containerId);
    await networks.settled();
    await networks.remove(network.id);
    expect(onBridge()).toEqual([]);
  });

  test("is refused with its owner's name, and so is what is no bridge", async () => {
    const network = await create("lan", bare);
    await expect(create("second", bare)).rejects.toThrow("conflicts with network lan (br7)");
    await expect(create("second", { options: { [nameOption]: "tsd0" } })).rejects.toThrow(
      "conflicts with network bridge (tsd0)",
    );
    sh("ip link add br8 type bridge; ip link set br8 alias 'tsd 0123456789ab'; ip link add br9 type bridge");
    sh("ip link property add dev br9 altname tsd.ba9876543210; ip link property add dev br7 altname another");
    const refusals = {
      br8: "interface br8 is there already, and is that of network 0123456789ab of another tsd daemon",
      br9: "interface br9 is there already, and network ba9876543210 of another tsd daemon is on it",
      another: "interface br7 is there already, and another is another name of it",
      port1: "interface port1 is there already, and is no bridge (veth)",
    };
    const before = interfaces();
    for (const [device, message] of Object.entries(refusals)) {
      await expect(create("second", { options: { [nameOption]: device } })).rejects.toThrow(message);
    }
    expect(networks.list().map(({ name }) => name)).toEqual(["bridge", "host", "none", "lan"]);
    expect(interfaces()).toEqual(before);
    expect(names()).toEqual([`tsd.${network.id.slice(0, 12)}`, "another"]);
    expect(ip("link", "show", "dev", "br9")[0]!.altnames).toEqual(["tsd.ba9876543210"]);
  });

  test("is as it was after a failure in the middle of it", async () => {
    const before = state();
    const setBridge = spyOn(Firewall.prototype, "setBridge").mockImplementation(() => {
      throw new Error(`failed with ${onBridge().join(" ")}`);
    });
    try {
      const refused = create("lan", { ...bare, subnets: [{ subnet: "10.7.0.0/24" }] });
      await expect(refused).rejects.toThrow("failed with 198.51.100.7/24 198.51.100.200/32 10.7.0.1/24");
    } finally {
      setBridge.mockRestore();
    }
    expect(state()).toEqual(before);
    expect(rig.rows("network", "network_adoption")).toEqual([3, 0]);
  });

  test("has an address of a smaller subnet than the network's, which does for IPv6 and not for IPv4", async () => {
    sh("ip addr add 10.7.0.7/28 dev br7; ip addr add fd00:7::7/128 dev br7");
    const subnets = [{ subnet: "10.7.0.0/24" }, { subnet: "fd00:7::/64" }];
    const network = await create("lan", { options: bare.options, subnets });
    expect(network.subnets.map(({ gateway }) => gateway)).toEqual(["10.7.0.7", "fd00:7::7"]);
    expect(onBridge().filter((address) => address.includes("7.0.7"))).toEqual(["10.7.0.7/28", "10.7.0.7/24"]);
    await networks.remove(network.id);
    expect(onBridge().filter((address) => address.includes("7.0.7"))).toEqual(["10.7.0.7/28"]);
  });
});

describe.skipIf(!root)("the default network on a bridge that is there already", () => {
  const rig = new Rig(() => {
    run(
      "sh",
      "-ec",
      "ip link add br7 type bridge; ip addr add 198.51.100.7/24 dev br7; ip addr add 10.7.0.7/24 dev br7",
    );
  });
  const addresses = (): unknown[] =>
    (ip("-4", "addr", "show", "dev", "br7")[0]!.addr_info as { local: string }[]).map(({ local }) => local);

  test("has its first address and that one's subnet, or those of --fixed-cidr", async () => {
    const plain = rig.make({ name: "br7" });
    expect(plain.find("bridge").subnets).toMatchObject([{ subnet: "198.51.100.0/24", gateway: "198.51.100.7" }]);
    expect(await attach(plain, newId())).toMatchObject({ ipv4: "198.51.100.1", ipv4Gateway: "198.51.100.7" });
    expect(addresses()).toEqual(["198.51.100.7", "10.7.0.7"]);
    await plain.detach(plain.members(plain.find("bridge").id)[0]!.containerId);
    await plain.close();
    expect(ip("link", "show", "dev", "br7")[0]!.altnames).toBeUndefined();

    const fixed = rig.make({ name: "br7", addresses: { range: "10.7.0.128/25", gateway: "10.7.0.1" } });
    expect(await attach(fixed, newId())).toMatchObject({ ipv4: "10.7.0.128", ipv4Gateway: "10.7.0.1" });
    expect(fixed.find("bridge").subnets).toMatchObject([
      { subnet: "10.7.0.0/24", gateway: "10.7.0.7", ipRange: "10.7.0.128/25" },
    ]);
  });

  test("has IPv6 only when it is asked for: the link is others', too", async () => {
    const plain = rig.make({ name: "br7" }).find("bridge");
    expect([plain.enableIpv6, plain.subnets.length]).toEqual([false, 1]);
    const ranged = rig.make({ name: "br7", addresses: { range6: "fd00:7::/64" } });
    expect(await attach(ranged, newId())).toMatchObject({ ipv6Gateway: "fd00:7::1" });
    await ranged.detach(ranged.members(ranged.find("bridge").id)[0]!.containerId);
    await ranged.close();
    const asked = rig.make({ name: "br7", ipv6: true });
    await attach(asked, newId());
    expect(asked.find("bridge").subnets).toHaveLength(2);
    // With a container on it, and the bridge marked, no more is asked for.
    expect(rig.make({ name: "br7" }).find("bridge").enableIpv6).toBe(false);
  });

  test("leaves it for another one that the daemon is told of, also when it was killed", async () => {
    // As a daemon that is killed: this one does not end before the next begins.
    const first = rig.make({ name: "br7", ipv6: false, addresses: { address: "10.9.0.1/24" } });
    await first.detach((await attach(first, newId())).sandbox.id);
    expect(addresses()).toEqual(["198.51.100.7", "10.7.0.7", "10.9.0.1"]);
    for (const { containerId } of first.members(first.find("bridge").id)) await first.detach(containerId);
    await first.settled();
    const second = rig.make({ ipv6: false });
    await attach(second, newId());
    expect(addresses()).toEqual(["198.51.100.7", "10.7.0.7"]);
    expect(interfaces()).toContain("tsd0");
  });
});
