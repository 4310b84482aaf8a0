import { describe, expect, test } from "bun:test";
import type { Route } from "../../ffi/netlink/route.ts";
import { addressBytes, formatAddress, formatSubnet, parseAddress, parseSubnet } from "./address.ts";
import { AddressPool, checkSubnet, chooseSubnet, defaultPools, gatewayOf, obstaclesOf, parsePool } from "./ipam.ts";

const bytes = (text: string): Uint8Array => addressBytes(parseAddress(text));
const links = [
  { index: 2, name: "eth0", up: true, operational: true, mtu: 1500 },
  { index: 3, name: "tun0", up: true, operational: true, mtu: 1400 },
  { index: 9, name: "tsd0", up: true, operational: true, mtu: 1500 },
];

function route(destination: string, rest: Partial<Route> = {}): Route {
  const [address, length] = destination.split("/");
  return {
    family: 2,
    destination: bytes(address!),
    prefixLength: Number(length),
    interfaceIndex: 2,
    table: 254,
    type: "unicast",
    ...rest,
  };
}

describe("what is in the way", () => {
  test("is every route of every table, every address and name server, said in the administrator's words", () => {
    const obstacles = obstaclesOf({
      links,
      addresses: [{ interfaceIndex: 2, address: bytes("192.0.2.2"), prefixLength: 24 }],
      routes: [
        route("172.16.0.0/12", { gateway: bytes("10.8.0.1"), interfaceIndex: 3, table: 51820 }),
        route("10.0.0.0/8", { type: "blackhole", interfaceIndex: 0 }),
      ],
      servers: [parseAddress("10.255.255.53")],
    });
    expect(obstacles.map(({ what }) => what)).toEqual([
      "address 192.0.2.2/24 of eth0",
      "route 172.16.0.0/12 via 10.8.0.1 dev tun0 table 51820",
      "blackhole route 10.0.0.0/8",
      "name server 10.255.255.53",
    ]);
  });

  test("is not a default route, whole or in pieces, nor what the bridge itself has", () => {
    const routes = [
      { ...route("0.0.0.0/0"), destination: undefined },
      route("0.0.0.0/1"),
      route("128.0.0.0/1"),
      route("172.28.0.0/16", { interfaceIndex: 9 }),
    ] as Route[];
    const addresses = [{ interfaceIndex: 9, address: bytes("172.28.0.1"), prefixLength: 16 }];
    expect(obstaclesOf({ links, addresses, routes, servers: [] }, 9)).toEqual([]);
  });
});

describe("subnets", () => {
  const pools = defaultPools.map(parsePool);

  test("are the first of the pools that collides with nothing, leaving dockerd its own", () => {
    const taken = (...texts: string[]) => texts.map((text) => ({ subnet: parseSubnet(text), what: `route ${text}` }));
    const chosen = (...texts: string[]) => formatSubnet(chooseSubnet("bridge", pools, taken(...texts)));
    expect(chosen()).toBe("172.28.0.0/16");
    expect(chosen("172.17.0.0/16")).toBe("172.28.0.0/16");
    expect(chosen("172.28.128.0/24")).toBe("172.29.0.0/16");
    expect(chosen("172.16.0.0/12")).toBe("10.200.0.0/20");
    expect(chosen("172.16.0.0/12", "10.0.0.0/8")).toBe("192.168.0.0/20");
    expect(chosen("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/24", "192.168.16.7/32")).toBe("192.168.32.0/20");
  });

  test("that cannot be had are an error that names what is in the way of each pool", () => {
    const obstacles = [{ subnet: parseSubnet("10.0.0.0/8"), what: "route 10.0.0.0/8 dev tun0" }];
    expect(() => chooseSubnet("bridge", [parsePool("10.1.0.0/16 size 24")], obstacles)).toThrow(
      "network bridge: no subnet is free in the address pools (10.1.0.0/16: route 10.0.0.0/8 dev tun0)",
    );
  });

  test("that were asked for and collide are refused with what is in the way", () => {
    const obstacles = [{ subnet: parseSubnet("10.0.0.0/8"), what: "route 10.0.0.0/8 via 192.0.2.1 dev tun0" }];
    expect(() => checkSubnet("bridge", parseSubnet("10.9.0.0/24"), obstacles)).toThrow(
      "network bridge: subnet 10.9.0.0/24 collides with route 10.0.0.0/8 via 192.0.2.1 dev tun0",
    );
    expect(() => checkSubnet("bridge", parseSubnet("11.0.0.0/24"), obstacles)).not.toThrow();
  });

  test("come from pools that are read strictly", () => {
    expect(parsePool("10.0.0.0/24")).toEqual({ base: parseSubnet("10.0.0.0/24"), prefixLength: 24 });
    for (const bad of ["10.0.0.0/16 size 8", "10.0.0.0/16 size 31", "10.0.0.0/16 24", "x size 24", ""]) {
      expect(() => parsePool(bad)).toThrow();
    }
  });
});

describe("addresses", () => {
  const subnet = parseSubnet("10.9.0.0/29");
  const gateway = gatewayOf(subnet);

  test("are given out in turn, and not again before all others were", () => {
    const pool = new AddressPool(subnet, [gateway]);
    const given = Array.from({ length: 3 }, () => formatAddress(pool.allocate()));
    expect(given).toEqual(["10.9.0.2", "10.9.0.3", "10.9.0.4"]);
    pool.release(parseAddress("10.9.0.2"));
    expect(formatAddress(pool.allocate())).toBe("10.9.0.5");
    expect(formatAddress(pool.allocate())).toBe("10.9.0.6");
    expect(formatAddress(pool.allocate())).toBe("10.9.0.2");
    expect(() => pool.allocate()).toThrow("all addresses of subnet 10.9.0.0/29 are in use");
  });

  test("that are fixed are taken once, and only inside the subnet", () => {
    const pool = new AddressPool(subnet, [gateway]);
    pool.take(parseAddress("10.9.0.4"));
    expect(() => pool.take(parseAddress("10.9.0.4"))).toThrow("address 10.9.0.4 is already in use");
    expect(() => pool.take(gateway)).toThrow("address 10.9.0.1 is already in use");
    for (const outside of ["10.9.0.0", "10.9.0.7", "10.9.1.1", "::1"]) {
      expect(() => pool.take(parseAddress(outside))).toThrow("is not one that subnet 10.9.0.0/29 has to give");
    }
  });

  test("cost the same however many are in use", () => {
    const pool = new AddressPool(parseSubnet("10.0.0.0/8"), []);
    const timeOf = (count: number): number => {
      const started = performance.now();
      for (let i = 0; i < count; i++) pool.allocate();
      return performance.now() - started;
    };
    timeOf(10_000);
    const early = timeOf(10_000);
    for (let i = 0; i < 100_000; i++) pool.allocate();
    expect(timeOf(10_000)).toBeLessThan(20 * early + 20);
  });

  test("of IPv6 subnets are given out too", () => {
    const pool = new AddressPool(parseSubnet("fd00:1::/64"), [parseAddress("fd00:1::1")]);
    expect(formatAddress(pool.allocate())).toBe("fd00:1::2");
  });
});
