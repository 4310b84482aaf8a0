/** The addresses of a subnet, of either family: which are taken, and which comes next. */
import { EngineError } from "../core/errors.ts";
import { type Address, contains, formatAddress, formatSubnet, nthAddress, type Subnet, subnetSize } from "./address.ts";
import type { SubnetStatus } from "./network.ts";

/** Entries of the queue that may be out of date before it is written anew. */
const staleEntriesMax = 1024;

/**
 * Addresses are given out in turn, not the lowest first: an address comes back only after all others were used, when
 * neighbours' tables, connection tracking and name caches have forgotten its last holder. The time to find one depends
 * neither on how many are in use nor on the size of the subnet, which IPv6 makes 2^64.
 *
 * IPv4's first address, the network's own, and its last, the broadcast address (RFC 919), are never given out, nor is
 * IPv6's first, which all routers of the link answer to (RFC 4291, 2.6.1).
 */
export class AddressPool {
  readonly subnet: Subnet;
  readonly #used = new Set<bigint>();
  readonly #first: bigint;
  readonly #last: bigint;
  /** What is given out: offsets from the subnet's first address. */
  readonly #rangeFirst: bigint;
  readonly #rangeLast: bigint;
  #usedInRange = 0n;
  /** Addresses from here on have not been given out yet; behind it those that were given back are. */
  #next: bigint;
  /** In the order in which they were given back, from `#oldest` on; what is not in `#free` was taken meanwhile. */
  #queue: bigint[] = [];
  #oldest = 0;
  readonly #free = new Set<bigint>();

  /**
   * @param reserved the gateway and whatever else is not to be given out.
   * @param range the part of the subnet from which addresses are given out; fixed ones may lie outside of it.
   */
  constructor(subnet: Subnet, reserved: readonly Address[], range: Subnet = subnet) {
    this.subnet = subnet;
    this.#first = 1n;
    this.#last = subnetSize(subnet) - (subnet.family === 4 ? 2n : 1n);
    const start = range.base - subnet.base;
    const end = start + subnetSize(range) - 1n;
    this.#rangeFirst = start === 0n ? this.#first : start;
    this.#rangeLast = end <= this.#last ? end : this.#last;
    this.#next = this.#rangeFirst;
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
    this.#free.delete(offset);
    this.#use(offset);
  }

  /** @throws EngineError conflict when all are in use. */
  allocate(): Address {
    const offset = this.#fresh() ?? this.#givenBack();
    if (offset === undefined) {
      throw new EngineError("conflict", `all addresses of subnet ${formatSubnet(this.subnet)} are in use`);
    }
    this.#use(offset);
    return nthAddress(this.subnet, offset);
  }

  /** Gives an address back; one that is not in use is no error. */
  release(address: Address): void {
    const offset = this.#offset(address);
    if (offset === undefined || !this.#used.delete(offset)) return;
    if (!this.#isInRange(offset)) return;
    this.#usedInRange--;
    // A fixed address that the turn has not come to yet.
    if (offset >= this.#next) return;
    this.#free.add(offset);
    this.#queue.push(offset);
    if (this.#queue.length > 2 * this.#free.size + staleEntriesMax) this.#tidy();
  }

  /** Whether it is one that the subnet has to give. */
  isOf(address: Address): boolean {
    return this.#offset(address) !== undefined;
  }

  has(address: Address): boolean {
    const offset = this.#offset(address);
    return offset !== undefined && this.#used.has(offset);
  }

  /** As Docker counts: the addresses that are never given out are in use, too. */
  status(): SubnetStatus {
    const reserved = subnetSize(this.subnet) - (this.#last - this.#first + 1n);
    const inRange = this.#rangeLast - this.#rangeFirst + 1n;
    return {
      subnet: formatSubnet(this.subnet),
      inUse: reserved + BigInt(this.#used.size),
      available: inRange - this.#usedInRange,
    };
  }

  #use(offset: bigint): void {
    this.#used.add(offset);
    if (this.#isInRange(offset)) this.#usedInRange++;
  }

  /** Steps over fixed addresses, over each once. */
  #fresh(): bigint | undefined {
    while (this.#next <= this.#rangeLast) {
      const offset = this.#next++;
      if (!this.#used.has(offset)) return offset;
    }
    return undefined;
  }

  #givenBack(): bigint | undefined {
    while (this.#oldest < this.#queue.length) {
      const offset = this.#queue[this.#oldest++]!;
      if (!this.#free.delete(offset)) continue;
      if (this.#oldest > staleEntriesMax && 2 * this.#oldest > this.#queue.length) this.#tidy();
      return offset;
    }
    return undefined;
  }

  /** Drops what was given out or taken meanwhile. Of an address that is in the queue twice the later place counts. */
  #tidy(): void {
    const seen = new Set<bigint>();
    const kept: bigint[] = [];
    for (let index = this.#queue.length - 1; index >= this.#oldest; index--) {
      const offset = this.#queue[index]!;
      if (!this.#free.has(offset) || seen.has(offset)) continue;
      seen.add(offset);
      kept.push(offset);
    }
    this.#queue = kept.reverse();
    this.#oldest = 0;
  }

  #isInRange(offset: bigint): boolean {
    return offset >= this.#rangeFirst && offset <= this.#rangeLast;
  }

  #offset(address: Address): bigint | undefined {
    if (!contains(this.subnet, address)) return undefined;
    const offset = address.value - this.subnet.base;
    return offset >= this.#first && offset <= this.#last ? offset : undefined;
  }
}
