/** Which subnet a network gets where its maker leaves that open. */
import { randomBytes } from "node:crypto";
import { EngineError } from "../core/errors.ts";
import {
  type Address,
  addressOf,
  contains,
  type Family,
  formatSubnet,
  nthAddress,
  parseSubnet,
  type Subnet,
  subnetOf,
  subnetSize,
} from "./address.ts";
import { type Obstacle, obstacleTo } from "./obstacles.ts";

/** A range that is cut into subnets of one size. */
export interface Pool {
  base: Subnet;
  prefixLength: number;
}

/**
 * Where IPv4 subnets come from unless the daemon is told otherwise. 172.17.0.0/16 and what follows it is left to
 * dockerd, which may be started beside tsd; the others are there for hosts whose VPN takes all of 172.16.0.0/12.
 */
export const defaultPools: readonly string[] = [
  "172.28.0.0/14 size 16",
  "172.24.0.0/14 size 16",
  "10.200.0.0/13 size 20",
  "192.168.0.0/16 size 20",
  "100.64.0.0/10 size 20",
];

/** The longest prefix of a subnet that has an address for somebody beside the gateway. */
export const prefixLengthMax = { 4: 30, 6: 126 } as const;

/** @throws EngineError invalid_argument for anything but `172.28.0.0/14 size 16`. */
export function parsePool(text: string): Pool {
  const match = /^(\S+) size (\d+)$/.exec(text);
  const base = parseSubnet(match?.[1] ?? text);
  const prefixLength = Number(match?.[2] ?? base.prefixLength);
  if (prefixLength < base.prefixLength || prefixLength > prefixLengthMax[base.family]) {
    throw new EngineError("invalid_argument", `address pool ${JSON.stringify(text)}: no subnet of that size fits`);
  }
  return { base, prefixLength };
}

/**
 * A /48 of this daemon's own among the unique local addresses: fd00::/8 and 40 random bits, so that networks of two
 * hosts do not collide when the hosts are connected some day (RFC 4193, 3.2). To be made once and kept.
 */
export function randomUniqueLocalPrefix(): string {
  const bytes = new Uint8Array(16);
  bytes.set([0xfd, ...randomBytes(5)]);
  return formatSubnet(subnetOf(addressOf(bytes), 48));
}

/** The 65,536 subnets of a /48 that RFC 4193 has for each site. @throws EngineError invalid_argument */
export function uniqueLocalPool(prefix: string): Pool {
  return parsePool(`${prefix} size 64`);
}

/**
 * The pools of both families: those that the daemon was given, and tsd's own of a family that it was given none of.
 * @throws EngineError invalid_argument
 */
export function addressPools(given: readonly string[], uniqueLocalPrefix: string): Pool[] {
  const pools = given.map(parsePool);
  const has = (family: Family): boolean => pools.some(({ base }) => base.family === family);
  if (!has(4)) pools.push(...defaultPools.map(parsePool));
  if (!has(6)) pools.push(uniqueLocalPool(uniqueLocalPrefix));
  return pools;
}

/**
 * The first subnet of that family in the pools that overlaps with nothing.
 * @throws EngineError conflict that names, for each pool, what is in the way; in Docker's words.
 */
export function chooseSubnet(
  network: string,
  pools: readonly Pool[],
  obstacles: readonly Obstacle[],
  family: Family = 4,
): Subnet {
  const inTheWay: string[] = [];
  for (const pool of pools) {
    if (pool.base.family !== family) continue;
    const found = firstFree(pool, obstacles);
    if ("subnet" in found) return found.subnet;
    inTheWay.push(`${formatSubnet(pool.base)}: ${found.inTheWay.what}`);
  }
  const reason = inTheWay.length === 0 ? `none has IPv${family}` : inTheWay.join("; ");
  throw new EngineError(
    "conflict",
    `network ${network}: all predefined address pools have been fully subnetted (${reason})`,
    { hint: "choose a subnet (--subnet), or give the daemon another pool (--default-address-pool)" },
  );
}

/** One walk over the obstacles in their order: pools of IPv6 have more subnets than can be tried one by one. */
function firstFree(pool: Pool, obstacles: readonly Obstacle[]): { subnet: Subnet } | { inTheWay: Obstacle } {
  const { base, family } = pool.base;
  const step = subnetSize({ ...pool.base, prefixLength: pool.prefixLength });
  const end = base + subnetSize(pool.base);
  const within = obstacles
    .filter(({ subnet }) => subnet.family === family && subnet.base < end && endOf(subnet) > base)
    .sort((a, b) => (a.subnet.base < b.subnet.base ? -1 : a.subnet.base > b.subnet.base ? 1 : 0));
  let candidate = base;
  for (const { subnet } of within) {
    if (subnet.base >= candidate + step) break;
    // The next boundary behind it.
    const behind = base + ((endOf(subnet) - base + step - 1n) / step) * step;
    if (behind > candidate) candidate = behind;
  }
  if (candidate < end) return { subnet: { family, base: candidate, prefixLength: pool.prefixLength } };
  return { inTheWay: within[0]! };
}

function endOf(subnet: Subnet): bigint {
  return subnet.base + subnetSize(subnet);
}

/** Whether the pools would give such a subnet: they may have been others when it was chosen. */
export function isOfPools(subnet: Subnet, pools: readonly Pool[]): boolean {
  const first: Address = { family: subnet.family, value: subnet.base };
  return pools.some(({ base, prefixLength }) => contains(base, first) && prefixLength === subnet.prefixLength);
}

/** @throws EngineError conflict that names the address or route in the way. */
export function checkSubnet(network: string, subnet: Subnet, obstacles: readonly Obstacle[]): void {
  const obstacle = obstacleTo(subnet, obstacles);
  if (obstacle === undefined) return;
  throw new EngineError(
    "conflict",
    `network ${network}: subnet ${formatSubnet(subnet)} overlaps with ${obstacle.what}`,
  );
}

/** A network's gateway: the first address behind the subnet's own. */
export function gatewayOf(subnet: Subnet): Address {
  return nthAddress(subnet, 1n);
}
