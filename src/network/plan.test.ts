import { describe, expect, test } from "bun:test";
import { isEngineError } from "../core/errors.ts";
import { newId } from "../core/id.ts";
import { parseAddress, parseSubnet } from "./address.ts";
import { defaultPools, parsePool, uniqueLocalPool } from "./ipam.ts";
import type { Network, NetworkRequest } from "./network.ts";
import { type PlanContext, planNetwork } from "./plan.ts";
import { plainDefinition } from "./records.ts";
import { networkRequest } from "./testing.ts";

const createdAt = "2026-01-02T03:04:05.000000006Z";
const pools = [...defaultPools.map(parsePool), uniqueLocalPool("fd12:3456:789a::/48")];
const tun0 = { subnet: parseSubnet("10.8.0.0/16"), what: "route 10.8.0.0/16 dev tun0" };

function plan(rest: Partial<NetworkRequest> = {}, context: Partial<PlanContext> = {}): Network {
  return planNetwork(networkRequest("x", rest), {
    id: newId(),
    createdAt,
    networks: [],
    obstacles: [],
    pools,
    ...context,
  });
}

const y = plan({ name: "y", subnets: [{ subnet: "10.9.0.0/24" }] });
const template = plan({
  name: "template",
  configOnly: true,
  subnets: [{ subnet: "10.7.0.0/24", gateway: "10.7.0.9" }],
  options: { parent: "eth1" },
  labels: { a: "b" },
});

describe("a network", () => {
  test("on a bridge that is there has its address as the gateway, and keeps clear of it where it chooses", () => {
    const addresses = [{ address: parseAddress("10.8.3.7"), prefixLength: 24 }];
    const obstacles = [tun0, { subnet: parseSubnet("172.28.0.0/16"), what: "route 172.28.0.0/16 dev br0" }];
    const existingBridge = (name: string) => (name === "br0" ? { addresses, obstacles: [] } : undefined);
    const options = { "com.docker.network.bridge.name": "br0" };
    const subnets = [{ subnet: "10.8.3.0/24" }];
    expect(plan({ options, subnets }, { obstacles, existingBridge }).subnets[0]).toMatchObject({ gateway: "10.8.3.7" });
    const other = [{ subnet: "10.8.3.0/24", gateway: "10.8.3.1" }];
    expect(plan({ options, subnets: other }, { obstacles, existingBridge }).subnets[0]!.gateway).toBe("10.8.3.1");
    // Of IPv4 alone, unless IPv6 is asked for.
    expect(plan({ options }, { obstacles, existingBridge }).subnets).toMatchObject([{ subnet: "172.29.0.0/16" }]);
    expect(plan({ options, enableIpv6: true }, { obstacles, existingBridge }).subnets).toHaveLength(2);
    expect(() => plan({ subnets }, { obstacles, existingBridge })).toThrow("overlaps with route 10.8.0.0/16 dev tun0");
  });

  test("has the daemon's options of its driver unless it has its own", () => {
    const mtu = "com.docker.network.driver.mtu";
    const driverOptions = { bridge: { [mtu]: "1000", "a.b": "c" }, macvlan: { parent: "eth9" } };
    expect(plan({ options: { "a.b": "d" } }, { driverOptions }).options).toEqual({ [mtu]: "1000", "a.b": "d" });
    // Too little for IPv6, which nobody asked for by name.
    expect(plan({}, { driverOptions }).enableIpv6).toBe(false);
    expect(() => plan({ enableIpv6: true }, { driverOptions })).toThrow("IPv6 needs an MTU of at least 1280 bytes");
    expect(plan({ driver: "macvlan" }, { driverOptions }).device).toBe("eth9");
    const ipv4Only = { bridge: { "com.docker.network.enable_ipv6": "false" } };
    expect(plan({}, { driverOptions: ipv4Only }).enableIpv6).toBe(false);
    expect(plan({ enableIpv6: true }, { driverOptions: ipv4Only }).enableIpv6).toBe(true);
    expect(plan({ subnets: [{ subnet: "fd00:1::/64" }] }, { driverOptions: ipv4Only }).enableIpv6).toBe(true);
    const ipv6Too = { macvlan: { "com.docker.network.enable_ipv6": "true" } };
    expect(plan({ driver: "macvlan" }, { driverOptions: ipv6Too }).enableIpv6).toBe(true);
  });

  test("that leaves everything open gets a subnet and a gateway of each family, and a bridge", () => {
    const id = "0123456789ab".padEnd(64, "c");
    expect(plan({}, { id, networks: [y] })).toEqual({
      id,
      name: "x",
      driver: "bridge",
      createdAt,
      ...plainDefinition,
      enableIpv6: true,
      subnets: [
        { subnet: "172.28.0.0/16", gateway: "172.28.0.1" },
        // y has the first one.
        { subnet: "fd12:3456:789a:1::/64", gateway: "fd12:3456:789a:1::1" },
      ],
      isBuiltIn: false,
      device: "tsd-0123456789a",
    });
  });

  test("has what was asked for, IPv4 before IPv6", () => {
    const planned = plan({
      internal: true,
      attachable: true,
      options: { "com.docker.network.bridge.name": "br7" },
      labels: { l: "1" },
      ipamOptions: { o: "2" },
      subnets: [
        { subnet: "fd00:1::/64", gateway: "fd00:1::9" },
        {
          subnet: "10.1.0.0/16",
          ipRange: "10.1.4.0/24",
          gateway: "10.1.0.254",
          auxiliaryAddresses: { printer: "10.1.0.7" },
        },
      ],
    });
    expect(planned).toMatchObject({
      internal: true,
      attachable: true,
      device: "br7",
      labels: { l: "1" },
      ipamOptions: { o: "2" },
      subnets: [
        {
          subnet: "10.1.0.0/16",
          ipRange: "10.1.4.0/24",
          gateway: "10.1.0.254",
          auxiliaryAddresses: { printer: "10.1.0.7" },
          isConfigured: true,
        },
        { subnet: "fd00:1::/64", gateway: "fd00:1::9", isConfigured: true },
      ],
    });
  });

  test("has one family where the host, or whoever makes it, has it so", () => {
    const families = ({ enableIpv4, enableIpv6, subnets }: Network) => [enableIpv4, enableIpv6, subnets.length];
    expect(families(plan({}, { withoutIpv6: "the kernel has none" }))).toEqual([true, false, 1]);
    expect(families(plan({ enableIpv6: false }))).toEqual([true, false, 1]);
    expect(families(plan({ enableIpv4: false }))).toEqual([false, true, 1]);
    expect(families(plan({ subnets: [{ subnet: "10.1.0.0/24" }] }))).toEqual([true, true, 2]);
  });

  test("has a gateway that is no auxiliary address", () => {
    const auxiliaryAddresses = { a: "10.1.0.1", b: "10.1.0.2" };
    const [subnet] = plan({ subnets: [{ subnet: "10.1.0.0/29", auxiliaryAddresses }] }).subnets;
    expect(subnet!.gateway).toBe("10.1.0.3");
  });

  test("of macvlan or ipvlan has the subnets of the network outside: several, no gateway unasked, IPv6 when asked for", () => {
    const obstacles = [{ subnet: parseSubnet("192.0.2.0/24"), what: "address 192.0.2.2/24 of eth0" }];
    const subnets = [{ subnet: "192.0.2.0/24" }, { subnet: "192.168.7.0/24", gateway: "192.168.7.1" }];
    for (const driver of ["macvlan", "ipvlan"]) {
      const planned = plan({ driver, subnets, options: { parent: "eth0" } }, { obstacles });
      expect(planned).toMatchObject({ driver, device: "eth0", subnets, enableIpv6: false });
      const six = plan({ driver, subnets: [...subnets, { subnet: "2001:db8:7::/64" }] }, { obstacles });
      expect(six).toMatchObject({ enableIpv6: true, subnets: [...subnets, { subnet: "2001:db8:7::/64" }] });
      expect(plan({ driver }, { id: "0123456789ab".padEnd(64, "c") }).device).toMatch(/^d[mi]-0123456789ab$/);
    }
  });
});

describe("a configuration", () => {
  test("is kept as it was given; nothing is chosen and nothing is in its way", () => {
    const planned = plan({ configOnly: true, subnets: [{ subnet: "10.9.0.0/24" }] }, { networks: [y] });
    expect(planned).toMatchObject({ configOnly: true, driver: "null", subnets: [{ subnet: "10.9.0.0/24" }] });
    expect(planned).not.toHaveProperty("device");
    expect(plan({ configOnly: true }).subnets).toEqual([]);
  });

  test("has none of the daemon's options, and the network that takes it has those of its driver", () => {
    const driverOptions = { macvlan: { macvlan_mode: "private", parent: "eth9" }, bridge: { "a.b": "c" } };
    expect(plan({ configOnly: true }, { driverOptions }).options).toEqual({});
    const planned = plan({ driver: "macvlan", configFrom: "template" }, { networks: [template], driverOptions });
    expect(planned.options).toEqual({ macvlan_mode: "private", parent: "eth1" });
    expect(planned.device).toBe("eth1");
  });

  test("is what a network that takes it has, with a driver of its own", () => {
    const planned = plan({ driver: "macvlan", configFrom: "template", internal: true }, { networks: [template] });
    expect(planned).toMatchObject({
      driver: "macvlan",
      configFrom: "template",
      configOnly: false,
      internal: true,
      device: "eth1",
      labels: { a: "b" },
      enableIpv6: false,
      subnets: [{ subnet: "10.7.0.0/24", gateway: "10.7.0.9" }],
    });
  });
});

describe("refused is", () => {
  const networks = [y, template];
  const subnet = "10.1.0.0/24";

  test.each<[string, Partial<NetworkRequest>, string, string]>([
    ["no name", { name: "" }, "invalid_argument", "invalid network name: it is empty"],
    ["a name with a space", { name: "a b" }, "invalid_argument", 'invalid network name "a b"'],
    ["a container's", { name: "container:a" }, "invalid_argument", 'invalid network name "container:a"'],
    ["a name that is an option", { name: "-a" }, "invalid_argument", 'invalid network name "-a"'],
    ...["bridge", "host", "none", "default"].map(
      (name) =>
        [name, { name }, "forbidden", `operation is not permitted on predefined ${name} network`] as [
          string,
          Partial<NetworkRequest>,
          string,
          string,
        ],
    ),
    ["a name that is taken", { name: "y" }, "already_exists", "network with name y already exists"],
    [
      "a driver nobody knows",
      { driver: "bridgex" },
      "not_found",
      "could not find plugin bridgex in v1 plugin registry: plugin not found",
    ],
    ["overlay", { driver: "overlay" }, "forbidden", "network x: driver overlay: this node is not a swarm manager"],
    ["host", { driver: "host" }, "forbidden", 'only one instance of "host" network is allowed'],
    ["null", { driver: "null" }, "forbidden", 'only one instance of "null" network is allowed'],
    ["another IPAM", { ipamDriver: "dhcp" }, "not_found", "could not find plugin dhcp in v1 plugin registry"],
    ["no IPAM", { ipamDriver: "null" }, "invalid_argument", "network x: ipv4 pool is empty"],
    [
      "no family",
      { enableIpv4: false, enableIpv6: false },
      "invalid_argument",
      "network x: IPv4 or IPv6 must be enabled",
    ],
    [
      "a subnet of a family that is off",
      { enableIpv6: false, subnets: [{ subnet: "fd00::/64" }] },
      "invalid_argument",
      "network x: subnet fd00::/64 was given, but IPv6 is disabled",
    ],
    [
      "a second subnet of a bridge",
      { subnets: [{ subnet }, { subnet: "10.2.0.0/24" }] },
      "forbidden",
      "network x: bridge driver doesn't support multiple subnets",
    ],
    [
      "a bridge that another network has",
      { options: { "com.docker.network.bridge.name": y.device! } },
      "forbidden",
      `network x (${y.device}): conflicts with network y (${y.device}): networks have same bridge name`,
    ],
    [
      "a gateway without a subnet",
      { subnets: [{ gateway: "10.1.0.1" }] },
      "invalid_argument",
      "every ip-range, gateway or aux-address must have a corresponding subnet",
    ],
    [
      "a configuration of a configuration",
      { configOnly: true, configFrom: "template" },
      "forbidden",
      "a configuration network cannot depend on another configuration network",
    ],
    [
      "an internal configuration",
      { configOnly: true, internal: true },
      "forbidden",
      "configuration network can only contain network specific fields",
    ],
    ["a configuration that is not there", { configFrom: "z" }, "not_found", "configuration network z not found"],
    ["a configuration that is none", { configFrom: "y" }, "forbidden", "y is not a configuration network"],
    [
      "more than the configuration",
      { configFrom: "template", subnets: [{ subnet }] },
      "forbidden",
      "user specified configurations are not supported if the network depends on a configuration network",
    ],
    [
      "options beside the configuration",
      { configFrom: "template", options: { a: "b" } },
      "forbidden",
      "network driver options are not supported if the network depends on a configuration network",
    ],
  ])("%s", (_, rest, code, message) => {
    let error: unknown;
    try {
      plan(rest, { networks });
    } catch (caught) {
      error = caught;
    }
    expect(isEngineError(error) && { code: error.code, message: error.message }).toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test.each([
    [{ subnet: "10.1.0.5/24" }, "invalid subnet 10.1.0.5/24: it should be 10.1.0.0/24"],
    [{ subnet: "10.1.0.0" }, "invalid subnet 10.1.0.0: invalid CIDR block notation"],
    [{ subnet: "10.1.0.0/31" }, "invalid subnet 10.1.0.0/31: too small, at least a /30 is needed"],
    [{ subnet: "fd00::/127" }, "invalid subnet fd00::/127: too small, at least a /126 is needed"],
    [{ subnet: "127.5.0.0/16" }, "invalid subnet 127.5.0.0/16: 127.0.0.0/8 is for loopback (RFC 1122)"],
    [{ subnet: "fe80::/64" }, "invalid subnet fe80::/64: fe80::/10 is for link-local addresses (RFC 4291)"],
    [{ subnet: "0.0.0.0/0" }, "invalid subnet 0.0.0.0/0: 0.0.0.0/8 is for this network (RFC 1122)"],
    [{ subnet, ipRange: "10.1.0.0" }, "invalid ip-range 10.1.0.0: invalid CIDR block notation"],
    [{ subnet, ipRange: "10.1.0.7/28" }, "invalid ip-range 10.1.0.7/28: it should be 10.1.0.0/28"],
    [{ subnet, ipRange: "10.2.0.0/28" }, "invalid ip-range 10.2.0.0/28: parent subnet 10.1.0.0/24 doesn't contain"],
    [{ subnet, ipRange: "10.1.0.0/16" }, "invalid ip-range 10.1.0.0/16: CIDR block is bigger than its parent subnet"],
    [{ subnet, ipRange: "fd00::/64" }, "invalid ip-range fd00::/64: parent subnet is an IPv4 block"],
    [{ subnet, gateway: "gw" }, "invalid gateway gw: invalid address gw"],
    [{ subnet, gateway: "fd00::1" }, "invalid gateway fd00::1: parent subnet is an IPv4 block"],
    [{ subnet, gateway: "10.2.0.1" }, "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/24 doesn't contain this"],
    [{ subnet, gateway: "10.1.0.0" }, "invalid gateway 10.1.0.0: 10.1.0.0 is the subnet's own address"],
    [{ subnet, gateway: "10.1.0.255" }, "invalid gateway 10.1.0.255: 10.1.0.255 is the subnet's broadcast address"],
    [{ subnet, auxiliaryAddresses: { a: "10.2.0.1" } }, "invalid auxiliary address a: parent subnet 10.1.0.0/24"],
    [
      { subnet, gateway: "10.1.0.9", auxiliaryAddresses: { a: "10.1.0.9" } },
      "invalid auxiliary address a: 10.1.0.9 is the gateway",
    ],
    [
      { subnet, auxiliaryAddresses: { a: "10.1.0.9", b: "10.1.0.9" } },
      "invalid auxiliary address b: a has 10.1.0.9 already",
    ],
    [
      { subnet: "10.1.0.0/30", auxiliaryAddresses: { a: "10.1.0.1", b: "10.1.0.2" } },
      "no address of subnet 10.1.0.0/30 is left for the gateway",
    ],
  ])("%j", (wrong, message) => {
    expect(() => plan({ subnets: [wrong] })).toThrow(`network x: ${message}`);
  });

  test("a subnet in the way of a route or of another network, which are named", () => {
    const obstacles = [tun0];
    expect(() => plan({ subnets: [{ subnet: "10.8.0.0/24" }] }, { obstacles })).toThrow(
      "network x: subnet 10.8.0.0/24 overlaps with route 10.8.0.0/16 dev tun0",
    );
    for (const driver of ["bridge", "macvlan"]) {
      expect(() => plan({ driver, subnets: [{ subnet: "10.9.0.128/25" }] }, { networks })).toThrow(
        "network x: subnet 10.9.0.128/25 overlaps with network y (10.9.0.0/24): invalid pool request: Pool overlaps with other one on this address space",
      );
    }
    const twice = [{ subnet: "10.1.0.0/16" }, { subnet: "10.1.4.0/24" }];
    expect(() => plan({ driver: "macvlan", subnets: twice })).toThrow(
      "network x: subnet 10.1.4.0/24 overlaps with 10.1.0.0/16",
    );
  });

  test("a subnet when none is left, with what is in the way of each pool", () => {
    const few = [parsePool("10.9.0.0/24"), parsePool("10.8.0.0/16 size 24")];
    expect(() => plan({ enableIpv6: false }, { networks, obstacles: [tun0], pools: few })).toThrow(
      "network x: all predefined address pools have been fully subnetted (10.9.0.0/24: network y; 10.8.0.0/16: route 10.8.0.0/16 dev tun0)",
    );
    expect(() => plan({}, { pools: few })).toThrow("have been fully subnetted (none has IPv6)");
  });

  test("IPv6 that is asked for on a host without it", () => {
    const withoutIpv6 = "net.ipv6.conf.all.disable_ipv6 is 1";
    for (const asked of [{ enableIpv6: true }, { subnets: [{ subnet: "fd00::/64" }] }]) {
      expect(() => plan(asked, { withoutIpv6 })).toThrow(`network x: the host has no IPv6: ${withoutIpv6}`);
    }
  });

  test("IPv6 on an MTU that it does not work with; where it was not asked for there is none", () => {
    const options = { "com.docker.network.driver.mtu": "1279" };
    expect(() => plan({ options, enableIpv6: true })).toThrow(
      "network x: IPv6 needs an MTU of at least 1280 bytes, and com.docker.network.driver.mtu is 1279",
    );
    expect(plan({ options }).enableIpv6).toBe(false);
    expect(plan({ options: { "com.docker.network.driver.mtu": "1280" } }).enableIpv6).toBe(true);
  });
});
