/** The subnets of a network that is to be: those that were asked for, checked, and those that are chosen. */
import { EngineError } from "../core/errors.ts";
import {
  type Address,
  broadcastAddress,
  contains,
  type Family,
  formatAddress,
  formatSubnet,
  nthAddress,
  overlaps,
  parseSubnet,
  type Subnet,
  subnetSize,
  tryParseAddress,
  tryParseSubnet,
} from "./address.ts";
import { checkSubnet, chooseSubnet, type Pool, prefixLengthMax } from "./ipam.ts";
import type { Network, NetworkDriver, NetworkSubnet, SubnetRequest } from "./network.ts";
import type { Obstacle } from "./obstacles.ts";

export interface Families {
  ipv4: boolean;
  ipv6: boolean;
}

interface SubnetsRequest {
  /** The network's, for errors. */
  name: string;
  driver: NetworkDriver;
  /** Undefined for a configuration that others will take: nothing is chosen, nothing can collide. */
  families: Families | undefined;
  requests: readonly SubnetRequest[];
}

interface SubnetsContext {
  networks: readonly Network[];
  obstacles: readonly Obstacle[];
  /** What subnets that are chosen keep clear of; absent: the same. */
  avoided?: readonly Obstacle[];
  pools: readonly Pool[];
}

/** One subnet with its parts. */
interface Planned {
  subnet: Subnet;
  isConfigured: boolean;
  range?: Subnet;
  gateway?: Address;
  auxiliary: [name: string, address: Address][];
}

/** What no network of containers can be made of, with the standard that says what it is for. */
const specialSubnets = [
  { subnet: parseSubnet("0.0.0.0/8"), what: "this network (RFC 1122)" },
  { subnet: parseSubnet("127.0.0.0/8"), what: "loopback (RFC 1122)" },
  { subnet: parseSubnet("224.0.0.0/4"), what: "multicast (RFC 5771)" },
  { subnet: parseSubnet("240.0.0.0/4"), what: "future use (RFC 1112)" },
  { subnet: parseSubnet("::/127"), what: "loopback and the unspecified address (RFC 4291)" },
  { subnet: parseSubnet("::ffff:0.0.0.0/96"), what: "IPv4-mapped addresses (RFC 4291)" },
  { subnet: parseSubnet("fe80::/10"), what: "link-local addresses (RFC 4291)" },
  { subnet: parseSubnet("ff00::/8"), what: "multicast (RFC 4291)" },
] as const;

/** IPv4 before IPv6. @throws EngineError that names the network and what is wrong or in the way. */
export function planSubnets(request: SubnetsRequest, context: SubnetsContext): NetworkSubnet[] {
  const { name, driver, families } = request;
  const planned = request.requests.filter(isGiven).map((each) => parse(name, each));
  for (const [index, each] of planned.entries()) {
    const other = planned.slice(0, index).find(({ subnet }) => overlaps(subnet, each.subnet));
    if (other !== undefined) throw overlap(name, each.subnet, formatSubnet(other.subnet));
  }
  if (families === undefined) return planned.sort(byFamily).map(describe);
  for (const { subnet } of planned) checkFree(request, subnet, context);
  const left = request.requests.length - planned.length;
  for (const family of [4, 6] as const) {
    if (!(family === 4 ? families.ipv4 : families.ipv6)) continue;
    const count = planned.filter(({ subnet }) => subnet.family === family).length;
    if (driver === "bridge" && count > 1) {
      throw new EngineError("forbidden", `network ${name}: bridge driver doesn't support multiple subnets`);
    }
    // A request without a subnet asks for one that is chosen, as no request does.
    const isFirst = family === 4 || !families.ipv4;
    const more = driver === "bridge" ? 0 : isFirst ? left : 0;
    for (let missing = Math.max(count === 0 ? 1 : 0, more); missing > 0; missing--) {
      planned.push({ subnet: choose(name, family, planned, context), isConfigured: false, auxiliary: [] });
    }
  }
  // On a bridge the gateway is the host; on macvlan and ipvlan it is somebody outside, whom tsd does not know.
  if (driver === "bridge") for (const each of planned) each.gateway ??= firstUnused(name, each);
  return planned.sort(byFamily).map(describe);
}

function isGiven(request: SubnetRequest): request is SubnetRequest & { subnet: string } {
  if (request.subnet !== undefined && request.subnet !== "") return true;
  if (!request.ipRange && !request.gateway && Object.keys(request.auxiliaryAddresses ?? {}).length === 0) return false;
  throw new EngineError("invalid_argument", "every ip-range, gateway or aux-address must have a corresponding subnet");
}

function parse(network: string, request: SubnetRequest & { subnet: string }): Planned {
  const wrong = (text: string): EngineError => new EngineError("invalid_argument", `network ${network}: ${text}`);
  const subnet = parseBlock("subnet", request.subnet, wrong);
  const special = specialSubnets.find((each) => overlaps(each.subnet, subnet));
  if (special !== undefined) {
    throw wrong(`invalid subnet ${request.subnet}: ${formatSubnet(special.subnet)} is for ${special.what}`);
  }
  const most = prefixLengthMax[subnet.family];
  if (subnet.prefixLength > most) {
    throw wrong(`invalid subnet ${request.subnet}: too small, at least a /${most} is needed`);
  }
  const planned: Planned = { subnet, isConfigured: true, auxiliary: [] };
  if (request.ipRange) planned.range = parseRange(request.ipRange, subnet, wrong);
  if (request.gateway) planned.gateway = parseInside("gateway", request.gateway, request.gateway, subnet, wrong);
  for (const [name, text] of Object.entries(request.auxiliaryAddresses ?? {})) {
    const address = parseInside("auxiliary address", name, text, subnet, wrong);
    if (address.value === planned.gateway?.value) {
      throw wrong(`invalid auxiliary address ${name}: ${text} is the gateway`);
    }
    const other = planned.auxiliary.find((each) => each[1].value === address.value);
    if (other !== undefined) throw wrong(`invalid auxiliary address ${name}: ${other[0]} has ${text} already`);
    planned.auxiliary.push([name, address]);
  }
  return planned;
}

type Wrong = (text: string) => EngineError;

function parseBlock(what: string, text: string, wrong: Wrong): Subnet {
  const block = tryParseSubnet(text);
  if (block === undefined) throw wrong(`invalid ${what} ${text}: invalid CIDR block notation`);
  // Somebody who writes host bits has something else in mind than what the network would be.
  const address = tryParseAddress(text.slice(0, text.indexOf("/")));
  if (address?.value !== block.base) throw wrong(`invalid ${what} ${text}: it should be ${formatSubnet(block)}`);
  return block;
}

function parseRange(text: string, subnet: Subnet, wrong: Wrong): Subnet {
  const range = parseBlock("ip-range", text, wrong);
  const parent = `parent subnet ${formatSubnet(subnet)}`;
  if (range.family !== subnet.family) {
    throw wrong(`invalid ip-range ${text}: parent subnet is an IPv${subnet.family} block`);
  }
  if (range.prefixLength < subnet.prefixLength) {
    throw wrong(`invalid ip-range ${text}: CIDR block is bigger than its ${parent}`);
  }
  if (!overlaps(range, subnet)) throw wrong(`invalid ip-range ${text}: ${parent} doesn't contain ip-range`);
  return range;
}

function parseInside(what: string, shown: string, text: string, subnet: Subnet, wrong: Wrong): Address {
  const address = tryParseAddress(text);
  if (address === undefined) throw wrong(`invalid ${what} ${shown}: invalid address ${text}`);
  if (address.family !== subnet.family) {
    throw wrong(`invalid ${what} ${shown}: parent subnet is an IPv${subnet.family} block`);
  }
  if (!contains(subnet, address)) {
    throw wrong(`invalid ${what} ${shown}: parent subnet ${formatSubnet(subnet)} doesn't contain this address`);
  }
  if (address.value === subnet.base) throw wrong(`invalid ${what} ${shown}: ${text} is the subnet's own address`);
  if (subnet.family === 4 && address.value === broadcastAddress(subnet).value) {
    throw wrong(`invalid ${what} ${shown}: ${text} is the subnet's broadcast address`);
  }
  return address;
}

/** The subnets of macvlan and ipvlan are those of the network outside, which the host has routes to of course. */
function checkFree({ name, driver }: SubnetsRequest, subnet: Subnet, { networks, obstacles }: SubnetsContext): void {
  const other = obstaclesOfNetworks(networks).find((each) => overlaps(each.subnet, subnet));
  if (other !== undefined) throw overlap(name, subnet, `${other.what} (${formatSubnet(other.subnet)})`);
  if (driver === "bridge") checkSubnet(name, subnet, obstacles);
}

function overlap(network: string, subnet: Subnet, other: string): EngineError {
  const text = `network ${network}: subnet ${formatSubnet(subnet)} overlaps with ${other}`;
  return new EngineError(
    "forbidden",
    `${text}: invalid pool request: Pool overlaps with other one on this address space`,
  );
}

function choose(
  network: string,
  family: Family,
  planned: readonly Planned[],
  { networks, obstacles, avoided = obstacles, pools }: SubnetsContext,
): Subnet {
  const own = planned.map(({ subnet }) => ({ subnet, what: "the network itself" }));
  return chooseSubnet(network, pools, [...obstaclesOfNetworks(networks), ...own, ...avoided], family);
}

/** The subnets that networks have, up or not. A configuration has none. */
export function obstaclesOfNetworks(networks: readonly Network[]): Obstacle[] {
  return networks
    .filter(({ configOnly }) => !configOnly)
    .flatMap(({ name, subnets }) =>
      subnets.map(({ subnet }) => ({ subnet: parseSubnet(subnet), what: `network ${name}` })),
    );
}

function firstUnused(network: string, { subnet, auxiliary }: Planned): Address {
  const taken = new Set(auxiliary.map(([, address]) => address.value));
  const last = subnetSize(subnet) - (subnet.family === 4 ? 2n : 1n);
  for (let n = 1n; n <= last; n++) if (!taken.has(subnet.base + n)) return nthAddress(subnet, n);
  const text = `network ${network}: no address of subnet ${formatSubnet(subnet)} is left for the gateway`;
  throw new EngineError("invalid_argument", text);
}

function byFamily(a: Planned, b: Planned): number {
  return a.subnet.family - b.subnet.family;
}

function describe({ subnet, isConfigured, range, gateway, auxiliary }: Planned): NetworkSubnet {
  return {
    subnet: formatSubnet(subnet),
    ...(isConfigured && { isConfigured }),
    ...(range !== undefined && { ipRange: formatSubnet(range) }),
    ...(gateway !== undefined && { gateway: formatAddress(gateway) }),
    ...(auxiliary.length > 0 && {
      auxiliaryAddresses: Object.fromEntries(auxiliary.map(([name, address]) => [name, formatAddress(address)])),
    }),
  };
}
