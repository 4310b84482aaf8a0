/** The addresses of one network: of all its subnets. */
import { EngineError } from "../core/errors.ts";
import {
  type Address,
  contains,
  type Family,
  formatAddress,
  formatSubnet,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "./address.ts";
import { AddressPool } from "./address-pool.ts";
import type { Network, NetworkSubnet, SubnetStatus } from "./network.ts";

export class NetworkAddresses {
  readonly #network: string;
  /** What addresses that nobody is given are for. */
  readonly #reserved = new Map<string, string>();
  /** In the order of the network's subnets. */
  readonly #pools: AddressPool[];

  constructor({ name, subnets }: Pick<Network, "name" | "subnets">) {
    this.#network = name;
    this.#pools = subnets.map(poolOf);
    for (const { gateway, auxiliaryAddresses } of subnets) {
      if (gateway !== undefined) this.#reserved.set(formatAddress(parseAddress(gateway)), "its gateway");
      for (const [name, address] of Object.entries(auxiliaryAddresses ?? {})) {
        this.#reserved.set(formatAddress(parseAddress(address)), `its auxiliary address ${name}`);
      }
    }
  }

  /** One of the first subnet of that family that has any left. @throws EngineError conflict when none has. */
  allocate(family: Family): Address {
    const pools = this.#pools.filter(({ subnet }) => subnet.family === family);
    const pool = pools.find((each) => each.status().available > 0n);
    if (pool !== undefined) return pool.allocate();
    const subnets = pools.map(({ subnet }) => formatSubnet(subnet)).join(", ");
    const text = `network ${this.#network}: no available IPv${family} addresses on this network's address pools: ${subnets || "none"}`;
    throw new EngineError("conflict", text);
  }

  /**
   * A fixed one, also outside of the range that others come from.
   * @throws EngineError invalid_argument when no subnet has it to give, conflict when somebody has it.
   */
  take(address: Address): void {
    const pool = this.#poolOf(address);
    if (pool === undefined) {
      const subnets = this.#pools.map(({ subnet }) => formatSubnet(subnet)).join(", ") || "none";
      const text = `network ${this.#network}: no configured subnet contains IP address ${formatAddress(address)} (${subnets})`;
      throw new EngineError("invalid_argument", text);
    }
    try {
      pool.take(address);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const reserved = this.#reserved.get(formatAddress(address));
      const use = reserved === undefined ? "" : `: it is ${reserved}`;
      throw new EngineError(error.code, `network ${this.#network}: ${error.message}${use}`);
    }
  }

  /** Keeps an address from being given out; one of no subnet, or that somebody has, is left as it is. */
  reserve(address: Address): void {
    const pool = this.#poolOf(address);
    if (pool?.isOf(address) === true && !pool.has(address)) pool.take(address);
  }

  /** Gives an address back; one that is not in use is no error. */
  release(address: Address): void {
    this.#poolOf(address)?.release(address);
  }

  /** The subnet that an address of the network lies in: its prefix length is the interface's. */
  subnetOf(address: Address): Subnet | undefined {
    return this.#poolOf(address)?.subnet;
  }

  status(): SubnetStatus[] {
    return this.#pools.map((pool) => pool.status());
  }

  #poolOf(address: Address): AddressPool | undefined {
    return this.#pools.find(({ subnet }) => contains(subnet, address));
  }
}

function poolOf({ subnet, ipRange, gateway, auxiliaryAddresses }: NetworkSubnet): AddressPool {
  const reserved = [...(gateway === undefined ? [] : [gateway]), ...Object.values(auxiliaryAddresses ?? {})];
  const range = ipRange === undefined ? undefined : parseSubnet(ipRange);
  return new AddressPool(parseSubnet(subnet), reserved.map(parseAddress), range);
}
