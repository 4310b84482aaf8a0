/** IP addresses and subnets of both families. */
import { EngineError } from "./errors.ts";

export type Family = 4 | 6;

export interface Address {
  family: Family;
  /** Network order read as a number. */
  value: bigint;
}

/** A subnet: the address is its first one. */
export interface Subnet {
  family: Family;
  base: bigint;
  prefixLength: number;
}

const bits = { 4: 32, 6: 128 } as const;

/** @throws EngineError invalid_argument */
export function parseAddress(text: string): Address {
  const address = parseV4(text) ?? parseV6(text);
  if (address === undefined) {
    throw new EngineError("invalid_argument", `${JSON.stringify(text)} is not an IP address`);
  }
  return address;
}

/** Undefined when the text is no address, in the forms of inet_pton(3). */
export function tryParseAddress(text: string): Address | undefined {
  return parseV4(text) ?? parseV6(text);
}

function parseV4(text: string): Address | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0n;
  for (const part of match.slice(1)) {
    // A leading zero means octal to some programs and nothing to others.
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return { family: 4, value };
}

function parseV6(text: string): Address | undefined {
  let groups = text;
  const tail = text.slice(text.lastIndexOf(":") + 1);
  if (tail.includes(".")) {
    const v4 = parseV4(tail);
    if (v4 === undefined) return undefined;
    const hex = v4.value.toString(16).padStart(8, "0");
    groups = `${text.slice(0, -tail.length)}${hex.slice(0, 4)}:${hex.slice(4)}`;
  }
  const halves = groups.split("::");
  if (halves.length > 2) return undefined;
  const [head, rest] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head!.length - (rest?.length ?? 0);
  if (rest === undefined ? missing !== 0 : missing < 1) return undefined;
  const all = [...head!, ...Array.from({ length: rest === undefined ? 0 : missing }, () => "0"), ...(rest ?? [])];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return { family: 6, value: all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n) };
}

/** The canonical text; IPv6 as RFC 5952 has it: lower case, the longest run of zero groups as `::`. */
export function formatAddress(address: Address): string {
  if (address.family === 4) return addressBytes(address).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => Number((address.value >> BigInt(112 - 16 * i)) & 0xffffn));
  let start = 0;
  let length = 1;
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (to < 8 && groups[to] === 0) to++;
    if (to - from > length) [start, length] = [from, to - from];
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  return length < 2 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** 4 or 16 bytes in network order. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, address.value >> 64n);
  view.setBigUint64(8, BigInt.asUintN(64, address.value));
  return address.family === 4 ? bytes.slice(12) : bytes;
}

export function addressOf(bytes: Uint8Array): Address {
  const value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return { family: bytes.length === 4 ? 4 : 6, value };
}

/**
 * `172.28.0.0/16`. Bits behind the prefix are cleared, as ip(8) and Docker do.
 * @throws EngineError invalid_argument
 */
export function parseSubnet(text: string): Subnet {
  const subnet = tryParseSubnet(text);
  if (subnet === undefined) {
    throw new EngineError("invalid_argument", `${JSON.stringify(text)} is not a subnet (such as 172.28.0.0/16)`);
  }
  return subnet;
}

/** Undefined when the text is no subnet; bits behind the prefix are cleared. */
export function tryParseSubnet(text: string): Subnet | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? undefined : tryParseAddress(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (address === undefined || !/^\d{1,3}$/.test(length) || Number(length) > bits[address.family]) return undefined;
  return subnetOf(address, Number(length));
}

/** The subnet of that size which the address lies in. */
export function subnetOf(address: Address, prefixLength: number): Subnet {
  const host = BigInt(bits[address.family] - prefixLength);
  return { family: address.family, base: (address.value >> host) << host, prefixLength };
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatAddress({ family: subnet.family, value: subnet.base })}/${subnet.prefixLength}`;
}

/** How many addresses the subnet has. */
export function subnetSize(subnet: Subnet): bigint {
  return 1n << BigInt(bits[subnet.family] - subnet.prefixLength);
}

export function contains(subnet: Subnet, address: Address): boolean {
  return (
    subnet.family === address.family && address.value >= subnet.base && address.value < subnet.base + subnetSize(subnet)
  );
}

export function overlaps(a: Subnet, b: Subnet): boolean {
  return contains(a, { family: b.family, value: b.base }) || contains(b, { family: a.family, value: a.base });
}

/** The subnet's nth address; 0 is the subnet's own. */
export function nthAddress(subnet: Subnet, n: bigint): Address {
  return { family: subnet.family, value: subnet.base + n };
}

/** IPv4's last address, which reaches all hosts of the subnet. */
export function broadcastAddress(subnet: Subnet): Address {
  return nthAddress(subnet, subnetSize(subnet) - 1n);
}
