/** Interfaces and addresses, from /proc/net alone. */

export interface InterfaceFact {
  name: string;
  /** IPv4 addresses with their prefix length: `172.18.0.2/16`. */
  addresses: string[];
}

export interface NetworkFacts {
  interfaces: InterfaceFact[];
  /** Where packets for elsewhere go. */
  gateway?: string;
}

interface Route {
  interface: string;
  destination: number;
  gateway: number;
  mask: number;
}

/**
 * @param devices the text of /proc/net/dev
 * @param routes that of /proc/net/route
 * @param trie that of /proc/net/fib_trie
 */
export function readNetwork(devices: string, routes: string, trie: string): NetworkFacts {
  const names = devices.split("\n").flatMap((line) => /^\s*(\S+):/.exec(line)?.[1] ?? []);
  const table = routes.split("\n").slice(1).flatMap(parseRoute);
  const addresses = localAddresses(trie);
  const interfaces = names.map((name): InterfaceFact => {
    const own = addresses.filter((address) => interfaceOf(address, table) === name);
    return { name, addresses: own.map((address) => `${formatAddress(address)}/${prefixOf(address, table)}`) };
  });
  const gateway = table.find(({ destination, mask }) => destination === 0 && mask === 0)?.gateway;
  return { interfaces, ...(gateway ? { gateway: formatAddress(gateway) } : {}) };
}

/** `eth0 00000000 010011AC 0003 0 0 0 00000000 …`: numbers in hexadecimal, in the byte order of x86. */
function parseRoute(line: string): Route[] {
  const [name = "", destination, gateway, , , , , mask] = line.split("\t");
  if (mask === undefined) return [];
  return [{ interface: name, destination: swap(destination!), gateway: swap(gateway!), mask: swap(mask) }];
}

function swap(hex: string): number {
  return Buffer.from(hex.trim(), "hex").readUInt32LE();
}

/** An address is local where its line is followed by `/32 host LOCAL`. */
function localAddresses(trie: string): number[] {
  const found = trie.matchAll(/\|-- (\d+\.\d+\.\d+\.\d+)\n\s+\/32 host LOCAL/g);
  const addresses = [...found].map((match) => match[1]!.split(".").reduce((sum, part) => sum * 256 + Number(part), 0));
  return [...new Set(addresses)];
}

/** The loopback's network is not in the table of routes. */
function interfaceOf(address: number, routes: readonly Route[]): string | undefined {
  return address >>> 24 === 127 ? "lo" : routeOf(address, routes)?.interface;
}

function prefixOf(address: number, routes: readonly Route[]): number {
  const mask = address >>> 24 === 127 ? 0xff000000 : (routeOf(address, routes)?.mask ?? 0xffffffff);
  return 32 - Math.log2(2 ** 32 - mask);
}

function routeOf(address: number, routes: readonly Route[]): Route | undefined {
  return routes.find(({ destination, mask }) => mask !== 0 && (address & mask) >>> 0 === destination);
}

function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}
