/** Which ports of the host are given to which container. */
import { readFileSync } from "node:fs";
import { errorMessage, isErrno } from "../../core/errors.ts";
import type { Address } from "../../core/ip-address.ts";
import { log } from "../../core/log.ts";
import type { Transport } from "./port.ts";

export interface PortOwner {
  containerId: string;
  /** Without a slash. */
  containerName: string;
}

interface Taken {
  address: Address;
  owner: PortOwner;
}

export class PortTable {
  readonly #taken = new Map<string, Taken[]>();

  /** Who has the port on any of these addresses: on the same, or all of a family's against one of them. */
  ownerOf(transport: Transport, port: number, addresses: readonly Address[]): PortOwner | undefined {
    const taken = this.#taken.get(keyOf(transport, port));
    return taken?.find((each) => addresses.some((address) => overlap(each.address, address)))?.owner;
  }

  take(transport: Transport, port: number, addresses: readonly Address[], owner: PortOwner): void {
    const key = keyOf(transport, port);
    const taken = this.#taken.get(key) ?? [];
    taken.push(...addresses.map((address) => ({ address, owner })));
    this.#taken.set(key, taken);
  }

  release(transport: Transport, port: number, addresses: readonly Address[]): void {
    const key = keyOf(transport, port);
    const rest = (this.#taken.get(key) ?? []).filter(
      (each) => !addresses.some((address) => isSame(address, each.address)),
    );
    if (rest.length > 0) this.#taken.set(key, rest);
    else this.#taken.delete(key);
  }
}

function keyOf(transport: Transport, port: number): string {
  return `${transport} ${port}`;
}

function isSame(a: Address, b: Address): boolean {
  return a.family === b.family && a.value === b.value;
}

function overlap(a: Address, b: Address): boolean {
  return a.family === b.family && (a.value === b.value || a.value === 0n || b.value === 0n);
}

/** RFC 6335: the dynamic ports, for a kernel that does not say. */
const dynamicPorts = { first: 49_153, last: 65_535 };

/**
 * Ports for those who do not care: from the range that the kernel takes ephemeral ports from, as Docker does
 * (net.ipv4.ip_local_port_range, as a rule 32768 to 60999), without those that the administrator has reserved. One after
 * the other, so that a port that was given back is not somebody else's at once.
 */
export class EphemeralPorts {
  readonly #next = new Map<Transport, number>();

  /** Each port once, beginning behind the last that was taken. */
  *candidates(transport: Transport): Generator<number> {
    const { first, last } = readEphemeralRange();
    const reserved = readReserved();
    const count = last - first + 1;
    const start = Math.min(Math.max(this.#next.get(transport) ?? first, first), last);
    for (let n = 0; n < count; n++) {
      const port = first + ((start - first + n) % count);
      if (reserved.some((range) => port >= range.first && port <= range.last)) continue;
      this.#next.set(transport, port + 1 > last ? first : port + 1);
      yield port;
    }
  }
}

export interface PortRange {
  first: number;
  last: number;
}

/** The ports that the kernel chooses from, as the host has it now. */
export function readEphemeralRange(): PortRange {
  const [first, last] = readSetting("ip_local_port_range").trim().split(/\s+/).map(Number);
  if (first === undefined || last === undefined || !(first >= 1 && first <= last)) return dynamicPorts;
  return { first, last };
}

/** `8080,9000-9100` */
function readReserved(): PortRange[] {
  const text = readSetting("ip_local_reserved_ports").trim();
  if (text === "") return [];
  return text.split(",").map((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return { first: first!, last: last! };
  });
}

function readSetting(name: string): string {
  try {
    return readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8");
  } catch (error) {
    if (!isErrno(error, "ENOENT"))
      log("warn", "cannot read a setting of the host", { name, error: errorMessage(error) });
    return "";
  }
}
