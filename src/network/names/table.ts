/**
 * The names of all networks, and who sees which: a sandbox those of the networks that it is on, and its own links.
 *
 * Names are compared in lower case (RFC 4343). Adding and removing an endpoint costs the same however many there are.
 */
import { addressBytes, formatAddress, parseAddress } from "../address.ts";
import type { EndpointNames } from "./records.ts";

/** What is known of a name: the addresses of all containers that have it, in the order in which they came. */
export interface KnownName {
  ipv4: readonly string[];
  ipv6: readonly string[];
}

interface Endpoint extends EndpointNames {
  /** Lower case, each once. */
  keys: string[];
}

interface NetworkNames {
  /** Lower case. */
  name: string;
  byName: Map<string, Set<Endpoint>>;
  byContainer: Map<string, Endpoint>;
  /** By `addressKey`. */
  byAddress: Map<string, Endpoint>;
}

export class NameTable {
  readonly #networks = new Map<string, NetworkNames>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #sandboxes = new Map<string, Set<Endpoint>>();
  #version = 0;

  /** Another one after every change: what was derived from the table holds as long as it stays the same. */
  get version(): number {
    return this.#version;
  }

  get isEmpty(): boolean {
    return this.#endpoints.size === 0;
  }

  endpointIds(): string[] {
    return [...this.#endpoints.keys()];
  }

  /** Takes the place of what was known of the endpoint. @throws EngineError invalid_argument for an address that is none. */
  set(names: EndpointNames): void {
    const ipv4 = names.ipv4 === undefined ? undefined : formatAddress(parseAddress(names.ipv4));
    const ipv6 = names.ipv6 === undefined ? undefined : formatAddress(parseAddress(names.ipv6));
    const keys = [...new Set(names.names.map(nameKey))].filter((key) => key !== "");
    this.remove(names.endpointId);
    const endpoint: Endpoint = { ...names, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }), keys };
    const network = this.#network(endpoint);
    for (const key of keys) inSet(network.byName, key).add(endpoint);
    // Without names nobody is found: not by address either.
    if (keys.length > 0)
      for (const address of addressesOf(endpoint)) network.byAddress.set(addressKey(address), endpoint);
    network.byContainer.set(endpoint.containerId, endpoint);
    this.#endpoints.set(endpoint.endpointId, endpoint);
    inSet(this.#sandboxes, endpoint.sandboxId).add(endpoint);
    this.#version++;
  }

  /** Nothing happens when it is not known. */
  remove(endpointId: string): void {
    const endpoint = this.#endpoints.get(endpointId);
    if (endpoint === undefined) return;
    this.#endpoints.delete(endpointId);
    this.#version++;
    outOfSet(this.#sandboxes, endpoint.sandboxId, endpoint);
    const network = this.#networks.get(endpoint.networkId)!;
    for (const key of endpoint.keys) outOfSet(network.byName, key, endpoint);
    for (const address of addressesOf(endpoint)) {
      // Another one may have got the address meanwhile.
      if (network.byAddress.get(addressKey(address)) === endpoint) network.byAddress.delete(addressKey(address));
    }
    if (network.byContainer.get(endpoint.containerId) === endpoint) network.byContainer.delete(endpoint.containerId);
    if (network.byContainer.size === 0 && network.byName.size === 0) this.#networks.delete(endpoint.networkId);
  }

  /** All of the sandbox's endpoints. */
  removeSandbox(sandboxId: string): void {
    for (const { endpointId } of [...(this.#sandboxes.get(sandboxId) ?? [])]) this.remove(endpointId);
  }

  /** Whether what the sandbox sends may leave its networks. */
  reachesOutside(sandboxId: string): boolean {
    for (const endpoint of this.#sandboxes.get(sandboxId) ?? []) if (!endpoint.internal) return true;
    return false;
  }

  /**
   * What a name stands for in a sandbox: its own links before the networks' names. Of several networks that know the
   * name, the one that the sandbox came to first. A name with dots may be `NAME.NETWORK`, where either may have dots.
   * @param name without the last dot. @returns undefined for one that is not known.
   */
  find(sandboxId: string, name: string): KnownName | undefined {
    const endpoints = this.#sandboxes.get(sandboxId);
    if (endpoints === undefined) return undefined;
    const key = name.toLowerCase();
    for (let end = key.length; end > 0; end = key.lastIndexOf(".", end - 1)) {
      const found = this.#findOn(endpoints, key.slice(0, end), end === key.length ? undefined : key.slice(end + 1));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #findOn(endpoints: Set<Endpoint>, name: string, networkName: string | undefined): KnownName | undefined {
    for (const own of endpoints) {
      const network = this.#networks.get(own.networkId)!;
      if (networkName !== undefined && networkName !== network.name) continue;
      const link = own.links?.find(({ alias }) => nameKey(alias) === name);
      const linked = link === undefined ? undefined : network.byContainer.get(link.containerId);
      if (linked !== undefined) return known([linked]);
    }
    for (const { networkId } of endpoints) {
      const network = this.#networks.get(networkId)!;
      if (networkName !== undefined && networkName !== network.name) continue;
      const found = network.byName.get(name);
      if (found !== undefined) return known(found);
    }
    return undefined;
  }

  /**
   * `NAME.NETWORK` of the container that has an address on one of the sandbox's networks.
   * @param key as `addressKey` makes it.
   */
  findAddress(sandboxId: string, key: string): string | undefined {
    for (const { networkId } of this.#sandboxes.get(sandboxId) ?? []) {
      const found = this.#networks.get(networkId)!.byAddress.get(key);
      if (found !== undefined) return `${found.names[0]}.${found.networkName}`;
    }
    return undefined;
  }

  #network({ networkId, networkName }: EndpointNames): NetworkNames {
    let network = this.#networks.get(networkId);
    if (network === undefined) {
      const [byName, byContainer, byAddress] = [new Map(), new Map(), new Map()];
      network = { name: nameKey(networkName), byName, byContainer, byAddress };
      this.#networks.set(networkId, network);
    }
    return network;
  }
}

function known(endpoints: Iterable<Endpoint>): KnownName {
  const name = { ipv4: [] as string[], ipv6: [] as string[] };
  for (const { ipv4, ipv6 } of endpoints) {
    if (ipv4 !== undefined) name.ipv4.push(ipv4);
    if (ipv6 !== undefined) name.ipv6.push(ipv6);
  }
  return name;
}

function addressesOf({ ipv4, ipv6 }: EndpointNames): string[] {
  return [ipv4, ipv6].filter((address) => address !== undefined);
}

/** The address as hexadecimal digits: 8 of IPv4, 32 of IPv6. */
function addressKey(address: string): string {
  return addressBytes(parseAddress(address)).toHex();
}

function nameKey(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function inSet<T>(map: Map<string, Set<T>>, key: string): Set<T> {
  const set = map.get(key) ?? new Set();
  map.set(key, set);
  return set;
}

function outOfSet<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}
