/** What of the host's own uses addresses, so that networks keep out of its way. */
import type { InterfaceAddress } from "../../ffi/netlink/address.ts";
import type { Link } from "../../ffi/netlink/link.ts";
import type { Route } from "../../ffi/netlink/route.ts";
import {
  type Address,
  addressOf,
  contains,
  formatAddress,
  formatSubnet,
  overlaps,
  type Subnet,
  subnetOf,
} from "./address.ts";

/** Something on the host that uses addresses, in words that an error can show. */
export interface Obstacle {
  subnet: Subnet;
  what: string;
}

/**
 * A route as wide as this is a default route in pieces, as VPNs install them (0.0.0.0/1 and 128.0.0.0/1): it leads to
 * everywhere and claims nothing.
 */
const defaultRouteLengthMax = 3;

/**
 * fc00::/7 and fd00::/8 are all unique local addresses that there are: whoever routes them has no subnet in mind, and
 * nobody else's lies in a /48 of random digits (RFC 4193, 3.2.3).
 */
const uniqueLocalLengthMax = 8;

/**
 * What the host's own addresses, routes of all tables and name servers occupy, without those of one interface.
 * @param exceptServersIn where name servers are in nobody's way: on the link of that interface.
 */
export function obstaclesOf(
  host: {
    links: readonly Link[];
    addresses: readonly InterfaceAddress[];
    routes: readonly Route[];
    servers: Address[];
  },
  exceptInterface?: number,
  exceptServersIn: readonly Subnet[] = [],
): Obstacle[] {
  const names = new Map(host.links.map((link) => [link.index, link.name]));
  const obstacles: Obstacle[] = [];
  for (const entry of host.addresses) {
    if (entry.interfaceIndex === exceptInterface) continue;
    const address = addressOf(entry.address);
    const what = `address ${formatAddress(address)}/${entry.prefixLength} of ${names.get(entry.interfaceIndex)}`;
    obstacles.push({ subnet: subnetOf(address, entry.prefixLength), what });
  }
  for (const route of host.routes) {
    const { destination, prefixLength } = route;
    if (destination === undefined || prefixLength <= widestOf(destination)) continue;
    if (route.interfaceIndex !== undefined && route.interfaceIndex === exceptInterface) continue;
    const subnet = subnetOf(addressOf(destination), prefixLength);
    obstacles.push({ subnet, what: describeRoute(route, subnet, names) });
  }
  for (const server of host.servers) {
    if (exceptServersIn.some((subnet) => subnet.family === server.family && contains(subnet, server))) continue;
    obstacles.push({
      subnet: subnetOf(server, server.family === 4 ? 32 : 128),
      what: `name server ${formatAddress(server)}`,
    });
  }
  return obstacles;
}

/** A route of at most that length claims nothing. */
function widestOf(destination: Uint8Array): number {
  const isUniqueLocal = destination.length === 16 && (destination[0]! & 0xfe) === 0xfc;
  return isUniqueLocal ? uniqueLocalLengthMax : defaultRouteLengthMax;
}

function describeRoute(route: Route, subnet: Subnet, names: Map<number, string>): string {
  const kind = route.type === "unicast" ? "route" : `${route.type} route`;
  const via = route.gateway === undefined ? "" : ` via ${formatAddress(addressOf(route.gateway))}`;
  const name = names.get(route.interfaceIndex ?? 0);
  const device = name === undefined ? "" : ` dev ${name}`;
  const table = route.table === 254 || route.table === 255 ? "" : ` table ${route.table}`;
  return `${kind} ${formatSubnet(subnet)}${via}${device}${table}`;
}

/** The first obstacle that a subnet would collide with. */
export function obstacleTo(subnet: Subnet, obstacles: readonly Obstacle[]): Obstacle | undefined {
  return obstacles.find((obstacle) => overlaps(subnet, obstacle.subnet));
}
