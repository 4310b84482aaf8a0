/** Which subnet a network gets, and which address of it a container. */

import type { InterfaceAddress } from "../../ffi/netlink/address.ts";
import type { Link } from "../../ffi/netlink/link.ts";
import type { Route } from "../../ffi/netlink/route.ts";
import { EngineError } from "../core/errors.ts";
import {
  type Address,
  addressOf,
  broadcastAddress,
  contains,
  formatAddress,
  formatSubnet,
  nthAddress,
  overlaps,
  parseSubnet,
  type Subnet,
  subnetOf,
  subnetSize,
} from "./address.ts";

/** A range that is cut into subnets of one size. */
export interface Pool {
  base: Subnet;
  prefixLength: number;
}

/**
 * Where subnets come from unless the daemon is told otherwise. 172.17.0.0/16 and what follows it is left to dockerd,
 * which may be started beside tsd; the others are there for hosts whose VPN takes all of 172.16.0.0/12.
 */
export const defaultPools: readonly string[] = [
  "172.28.0.0/14 size 16",
  "172.24.0.0/14 size 16",
  "10.200.0.0/13 size 20",
  "192.168.0.0/16 size 20",
  "100.64.0.0/10 size 20",
];

/** @throws EngineError invalid_argument for anything but `172.28.0.0/14 size 16`. */
export function parsePool(text: string): Pool {
  const match = /^(\S+) size (\d+)$/.exec(text);
  const base = parseSubnet(match?.[1] ?? text);
  const prefixLength = Number(match?.[2] ?? base.prefixLength);
  if (prefixLength < base.prefixLength || prefixLength > (base.family === 4 ? 30 : 64)) {
    throw new EngineError("invalid_argument", `address pool ${JSON.stringify(text)}: no subnet of that size fits`);
  }
  return { base, prefixLength };
}

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

/** What the host's own addresses, routes of all tables and name servers occupy, without those of one interface. */
export function obstaclesOf(
  host: {
    links: readonly Link[];
    addresses: readonly InterfaceAddress[];
    routes: readonly Route[];
    servers: Address[];
  },
  exceptInterface?: number,
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
    if (route.destination === undefined || route.prefixLength <= defaultRouteLengthMax) continue;
    if (route.interfaceIndex !== undefined && route.interfaceIndex === exceptInterface) continue;
    const subnet = subnetOf(addressOf(route.destination), route.prefixLength);
    obstacles.push({ subnet, what: describeRoute(route, subnet, names) });
  }
  for (const server of host.servers) {
    obstacles.push({
      subnet: subnetOf(server, server.family === 4 ? 32 : 128),
      what: `name server ${formatAddress(server)}`,
    });
  }
  return obstacles;
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

/**
 * The first subnet of the pools that collides with nothing.
 * @throws EngineError conflict that names, for each pool, what is in the way.
 */
export function chooseSubnet(network: string, pools: readonly Pool[], obstacles: readonly Obstacle[]): Subnet {
  const inTheWay: string[] = [];
  for (const pool of pools) {
    const step = subnetSize({ ...pool.base, prefixLength: pool.prefixLength });
    let first: Obstacle | undefined;
    for (let base = pool.base.base; base < pool.base.base + subnetSize(pool.base); base += step) {
      const subnet = { family: pool.base.family, base, prefixLength: pool.prefixLength };
      const obstacle = obstacleTo(subnet, obstacles);
      if (obstacle === undefined) return subnet;
      first ??= obstacle;
    }
    inTheWay.push(`${formatSubnet(pool.base)}: ${first?.what}`);
  }
  throw new EngineError(
    "conflict",
    `network ${network}: no subnet is free in the address pools (${inTheWay.join("; ")})`,
    { hint: "start the daemon with a subnet of your own for the bridge (--bip)" },
  );
}

/** @throws EngineError conflict that names the address or route in the way. */
export function checkSubnet(network: string, subnet: Subnet, obstacles: readonly Obstacle[]): void {
  const obstacle = obstacleTo(subnet, obstacles);
  if (obstacle === undefined) return;
  throw new EngineError(
    "conflict",
    `network ${network}: subnet ${formatSubnet(subnet)} collides with ${obstacle.what}`,
  );
}

/** How far into a subnet addresses are given out: as many as 24 bits tell apart, also where IPv6 has more. */
const offsetMax = 2n ** 24n;

/**
 * The addresses of a subnet. They are given out in turn, not the lowest first: an address comes back only after all
 * others were used, when neighbours' tables, connection tracking and name caches have forgotten its last holder. The
 * time to find one does not depend on how many are in use.
 */
export class AddressPool {
  readonly subnet: Subnet;
  readonly #used = new Set<number>();
  readonly #first: number;
  readonly #last: number;
  #next: number;

  /** @param reserved the gateway and whatever else is not to be given out. */
  constructor(subnet: Subnet, reserved: readonly Address[]) {
    this.subnet = subnet;
    const size = subnetSize(subnet) < offsetMax ? subnetSize(subnet) : offsetMax;
    this.#first = 1;
    // IPv4's last address is the broadcast address.
    this.#last = Number(size) - (subnet.family === 4 ? 2 : 1);
    this.#next = this.#first;
    for (const address of reserved) this.take(address);
  }

  /** Marks an address as used. @throws EngineError conflict when it is, invalid_argument when it lies outside. */
  take(address: Address): void {
    const offset = this.#offset(address);
    if (offset === undefined) {
      const text = `address ${formatAddress(address)} is not one that subnet ${formatSubnet(this.subnet)} has to give`;
      throw new EngineError("invalid_argument", text);
    }
    if (this.#used.has(offset)) {
      throw new EngineError("conflict", `address ${formatAddress(address)} is already in use`);
    }
    this.#used.add(offset);
  }

  /** @throws EngineError conflict when all are in use. */
  allocate(): Address {
    const count = this.#last - this.#first + 1;
    for (let tried = 0; tried < count; tried++) {
      const offset = this.#next;
      this.#next = offset === this.#last ? this.#first : offset + 1;
      if (this.#used.has(offset)) continue;
      this.#used.add(offset);
      return nthAddress(this.subnet, BigInt(offset));
    }
    throw new EngineError("conflict", `all addresses of subnet ${formatSubnet(this.subnet)} are in use`);
  }

  /** Gives an address back; one that is not in use is no error. */
  release(address: Address): void {
    const offset = this.#offset(address);
    if (offset !== undefined) this.#used.delete(offset);
  }

  #offset(address: Address): number | undefined {
    if (!contains(this.subnet, address)) return undefined;
    const offset = address.value - this.subnet.base;
    return offset >= BigInt(this.#first) && offset <= BigInt(this.#last) ? Number(offset) : undefined;
  }
}

/** A network's gateway: the first address behind the subnet's own. */
export function gatewayOf(subnet: Subnet): Address {
  return nthAddress(subnet, 1n);
}

/** IPv4's broadcast address as an interface keeps it; IPv6 has none. */
export function broadcastOf(subnet: Subnet): Address | undefined {
  return subnet.family === 4 ? broadcastAddress(subnet) : undefined;
}
