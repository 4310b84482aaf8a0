import { describe, expect, test } from "bun:test";
import type { Route } from "../../ffi/netlink/route.ts";
import { addressBytes, parseAddress } from "./address.ts";
import { obstaclesOf } from "./obstacles.ts";

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
    protocol: 3,
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
      // All unique local addresses at once.
      route("fc00::/7"),
      route("fd00::/8"),
      route("172.28.0.0/16", { interfaceIndex: 9 }),
    ] as Route[];
    const addresses = [{ interfaceIndex: 9, address: bytes("172.28.0.1"), prefixLength: 16 }];
    expect(obstaclesOf({ links, addresses, routes, servers: [] }, 9)).toEqual([]);
  });
});
