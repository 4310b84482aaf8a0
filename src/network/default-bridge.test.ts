import { describe, expect, test } from "bun:test";
import { parseAddress, parseSubnet } from "./address.ts";
import {
  type DefaultBridgeAddresses,
  type DefaultBridgeInput,
  defaultBridgeRequests,
  planDefaultBridge,
} from "./default-bridge.ts";
import { defaultPools, parsePool, uniqueLocalPool } from "./ipam.ts";

const pools = [...defaultPools.map(parsePool), uniqueLocalPool("fd12:3456:789a::/48")];
const vpn = { subnet: parseSubnet("172.28.0.0/14"), what: "route 172.28.0.0/14 dev tun0" };

function plan(addresses: DefaultBridgeAddresses, rest: Partial<DefaultBridgeInput> = {}) {
  const told = defaultBridgeRequests(addresses);
  const families = { ipv4: true, ipv6: true };
  return planDefaultBridge({ told, families, pools, stored: [], inUse: false, networks: [], obstacles: [], ...rest });
}

describe("the default bridge", () => {
  const chosen = [
    { subnet: "172.28.0.0/16", gateway: "172.28.0.1" },
    { subnet: "fd12:3456:789a::/64", gateway: "fd12:3456:789a::1" },
  ];

  test("has the first subnets that are free, keeps them, and leaves them when something comes into their way", () => {
    expect(plan({})).toEqual(chosen);
    expect(plan({}, { families: { ipv4: true, ipv6: false } })).toEqual([chosen[0]!]);
    const stored = [{ subnet: "172.30.0.0/16", gateway: "172.30.0.1" }];
    expect(plan({}, { stored })).toEqual([stored[0]!, chosen[1]!]);
    const obstacles = [vpn];
    expect(plan({}, { stored, obstacles })[0]).toEqual({ subnet: "172.24.0.0/16", gateway: "172.24.0.1" });
    expect(plan({}, { stored, pools: [parsePool("10.0.0.0/16 size 24"), pools.at(-1)!] })[0]!.subnet).toBe(
      "10.0.0.0/24",
    );
  });

  test("has what the daemon was told, and not when it is told no more", () => {
    const told = plan({
      address: "172.30.0.9/16",
      range: "172.30.4.0/24",
      gateway: "172.30.0.254",
      range6: "fd00:7::/64",
    });
    expect(told).toEqual([
      {
        subnet: "172.30.0.0/16",
        isConfigured: true,
        ipRange: "172.30.4.0/24",
        gateway: "172.30.0.9",
        auxiliaryAddresses: { DefaultGatewayIPv4: "172.30.0.254" },
      },
      { subnet: "fd00:7::/64", isConfigured: true, gateway: "fd00:7::1" },
    ]);
    expect(plan({ address6: "fd00:7::9/64", range6: "fd00:7::/80" })[1]).toEqual({
      subnet: "fd00:7::/64",
      isConfigured: true,
      ipRange: "fd00:7::/80",
      gateway: "fd00:7::9",
    });
    expect(plan({ range: "10.3.0.0/24" })[0]).toMatchObject({ subnet: "10.3.0.0/24", gateway: "10.3.0.1" });
    expect(plan({}, { stored: told })).toEqual(chosen);
  });

  test("stays as it is under containers, and says so when it was told otherwise", () => {
    const stored = [{ subnet: "172.30.0.0/16", gateway: "172.30.0.1" }];
    const running = { stored, inUse: true };
    expect(plan({}, { ...running, obstacles: [vpn] })).toEqual([stored[0]!, chosen[1]!]);
    expect(plan({ address: "172.30.0.1/16" }, running)[0]).toEqual(stored[0]!);
    expect(plan({}, { stored: chosen, inUse: true, families: { ipv4: true, ipv6: false } })).toEqual(chosen);
    expect(() => plan({ address: "172.30.0.2/16" }, running)).toThrow(
      "network bridge cannot move to 172.30.0.0/16 with gateway 172.30.0.2 while containers use 172.30.0.0/16",
    );
    expect(() => plan({ range: "10.3.0.0/24" }, running)).toThrow("network bridge cannot move to 10.3.0.0/24 while");
  });

  test("is refused an address that something else on the host has, with what that is", () => {
    expect(() => plan({ address: "172.30.0.1/16" }, { obstacles: [vpn] })).toThrow(
      "network bridge: subnet 172.30.0.0/16 overlaps with route 172.28.0.0/14 dev tun0",
    );
  });

  test.each<[DefaultBridgeAddresses, string]>([
    [{ address: "172.30.0.1" }, "--bip 172.30.0.1: not an IPv4 address with a prefix length (172.30.0.1/16)"],
    [{ address: "fd00::1/64" }, "--bip fd00::1/64: not an IPv4 address"],
    [{ address6: "172.30.0.1/16" }, "--bip6 172.30.0.1/16: not an IPv6 address"],
    [{ range: "x" }, "--fixed-cidr x: not an IPv4 address"],
    [{ range6: "x" }, "--fixed-cidr-v6 x: not an IPv6 address"],
    [{ address: "10.0.0.1/31" }, "network bridge: invalid subnet 10.0.0.0/31: too small"],
    [{ address: "10.0.0.0/24" }, "network bridge: invalid gateway 10.0.0.0: 10.0.0.0 is the subnet's own address"],
    [{ address: "10.0.0.255/24" }, "network bridge: invalid gateway 10.0.0.255: 10.0.0.255 is the subnet's broadcast"],
    [{ address: "10.0.0.1/24", range: "10.1.0.0/25" }, "network bridge: invalid ip-range 10.1.0.0/25: parent subnet"],
    [{ address: "10.0.0.1/24", gateway: "10.1.0.1" }, "network bridge: invalid auxiliary address DefaultGatewayIPv4"],
    [{ gateway: "10.1.0.1" }, "--default-gateway 10.1.0.1: its subnet is not known"],
    [{ gateway6: "10.1.0.1" }, "--default-gateway-v6 10.1.0.1: not an IPv6 address"],
  ])("is refused %j", (addresses, message) => {
    expect(() => defaultBridgeRequests(addresses, [])).toThrow(message);
  });

  test("has an address of the bridge that the daemon was told of, unless the daemon has another for it", () => {
    const own = [
      { address: parseAddress("198.51.100.7"), prefixLength: 24 },
      { address: parseAddress("10.7.0.7"), prefixLength: 24 },
      { address: parseAddress("2001:db8::7"), prefixLength: 64 },
    ];
    const requests = (told: DefaultBridgeAddresses) => defaultBridgeRequests(told, own);
    expect(requests({})).toEqual({ 4: { subnet: "198.51.100.0/24", gateway: "198.51.100.7" } });
    expect(requests({ address: "172.30.0.1/16" })[4]).toEqual({ subnet: "172.30.0.0/16", gateway: "172.30.0.1" });
    expect(requests({ range: "10.7.0.0/25", gateway: "10.7.0.1" })[4]).toEqual({
      subnet: "10.7.0.0/24",
      gateway: "10.7.0.7",
      ipRange: "10.7.0.0/25",
      auxiliaryAddresses: { DefaultGatewayIPv4: "10.7.0.1" },
    });
    expect(requests({ range: "10.7.0.0/16" })[4]).toEqual({ subnet: "10.7.0.0/16", gateway: "10.7.0.7" });
    expect(requests({ range: "172.30.0.0/24" })[4]).toEqual({ subnet: "172.30.0.0/24" });
    expect(requests({ range6: "2001:db8::/80" })[6]).toEqual({
      subnet: "2001:db8::/64",
      gateway: "2001:db8::7",
      ipRange: "2001:db8::/80",
    });
    expect(defaultBridgeRequests({ gateway: "10.7.0.1" })).toEqual({});
    expect(() => defaultBridgeRequests({ gateway: "10.7.0.1" }, [])).toThrow("its subnet is not known");
  });
});
