import type { Database } from "bun:sqlite";
import { EngineError, errorMessage, wrapError } from "../core/errors.ts";
import { newId, shortId } from "../core/id.ts";
import { log } from "../core/log.ts";
import { type Address, contains, formatAddress, macOf, parseAddress, parseSubnet } from "./address.ts";
import { AddressPool } from "./address-pool.ts";
import { type BridgeAddressing, chooseAddressing, describeAddressing, parseBridgeAddress } from "./addressing.ts";
import { Bridge } from "./bridge.ts";
import type { Endpoint, NetworkMode, NetworkSummary } from "./endpoint.ts";
import { enableForwarding, readObstacles } from "./host.ts";
import { defaultPools, type Pool, parsePool } from "./ipam.ts";
import { NetworkNamespace } from "./namespace.ts";
import { type Driver, type EndpointRecord, type NetworkRecord, NetworkRecords } from "./records.ts";

export interface NetworksOptions {
  /** The metadata database, with `networkSchema`. */
  database: Database;
  bridge: {
    /** The interface's name, at most 15 bytes; the table of nf_tables has the same. */
    name: string;
    /** The bridge's own address with its prefix length, `172.30.0.1/16`; chosen from the pools when absent. */
    address?: string | undefined;
    /** `172.28.0.0/14 size 16`, in order of preference. */
    pools?: readonly string[] | undefined;
  };
}

/** The networks that there are from the start, by Docker's names. */
const builtIn: readonly { name: string; driver: Driver }[] = [
  { name: "bridge", driver: "bridge" },
  { name: "host", driver: "host" },
  { name: "none", driver: "null" },
];

const containerInterface = "eth0";
/** The host's ends are called veth and the beginning of the endpoint's id: 15 bytes, the most there may be. */
const hostInterfacePrefix = "veth";
const hostInterfaceDigits = 11;

/** When a spare is made after one was used: not while the container that took it is being started. */
const refillDelayMs = 25;
/** How long a container's start may wait for a bridge port that does not forward yet; it is started then as it is. */
const forwardingWaitMs = 100;
/** The kernel takes a namespace down in the background, as a rule in 2 to 20 ms. After the last wait its veth is deleted. */
const reapDelaysMs = [5, 20, 50, 150];

/** A connected namespace that waits for a container. */
interface Spare {
  record: EndpointRecord;
  namespace: NetworkNamespace;
}

/**
 * The containers' networks. What exists is written to the database before it is made, so that a daemon that was killed
 * half-way finds and removes it; the namespaces themselves die with their last user (see namespace.ts).
 *
 * The host is not touched before the first container needs the bridge. The calls to the kernel are synchronous: an
 * attachment is made in one go, 1 to 2 ms, or in a fraction of that where a spare is ready.
 */
export class Networks {
  readonly #records: NetworkRecords;
  readonly #bridge: Bridge;
  readonly #fixed: BridgeAddressing | undefined;
  readonly #pools: Pool[];
  readonly #networks = new Map<string, NetworkRecord>();
  readonly #namespaces = new Map<string, NetworkNamespace>();
  readonly #reaping = new Set<Promise<void>>();
  #ready: { addressing: BridgeAddressing; pool: AddressPool } | undefined;
  #spare: Spare | undefined;
  #spareNamespace: NetworkNamespace | undefined;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #closed = false;

  /** @throws EngineError invalid_argument for a wrong name, address or pool. */
  constructor({ database, bridge }: NetworksOptions) {
    this.#records = new NetworkRecords(database);
    this.#fixed = bridge.address === undefined ? undefined : parseBridgeAddress(bridge.address);
    this.#pools = (bridge.pools ?? defaultPools).map(parsePool);
    for (const { name, driver } of builtIn) this.#networks.set(name, this.#builtIn(name, driver));
    const network = this.#networks.get("bridge")!;
    this.#bridge = new Bridge(bridge.name, network.id);
    if (network.bridge !== bridge.name) this.#records.setBridge(network.id, bridge.name);
    network.bridge = bridge.name;
  }

  #builtIn(name: string, driver: Driver): NetworkRecord {
    const there = this.#records.network(name);
    if (there !== undefined) return there;
    const network = { id: newId(), name, driver, bridge: null, created_at: new Date().toISOString() };
    this.#records.addNetwork(network);
    return network;
  }

  /**
   * Gives a container its network.
   * @throws EngineError conflict when it has one, when no subnet or address is free; whatever was begun is undone.
   */
  async attach(containerId: string, mode: NetworkMode): Promise<Endpoint> {
    if (this.#records.endpointOf(containerId) !== undefined) {
      throw new EngineError("conflict", `container ${shortId(containerId)} is attached to its network already`);
    }
    try {
      switch (mode.kind) {
        case "container":
          return joined(mode.namespacePath);
        case "host":
          return this.#endpoint(this.#addPlain(containerId, "host"));
        case "none":
          return this.#attachNone(containerId);
        case "bridge":
          return await this.#attachBridge(containerId);
      }
    } catch (error) {
      throw wrapError(error, `network of container ${shortId(containerId)}`, { stage: "network" });
    }
  }

  /**
   * Takes a container off its network; nothing happens when it is on none. The namespace is let go of at once; the
   * kernel takes it down in the background, and the address is free again when that is done (`settled`).
   */
  async detach(containerId: string): Promise<void> {
    const record = this.#records.endpointOf(containerId);
    if (record !== undefined) this.#discard(record);
  }

  /** Resolves when what was detached is gone from the kernel and the database. */
  async settled(): Promise<void> {
    while (this.#reaping.size > 0) await Promise.all(this.#reaping);
  }

  /**
   * What the container has now, also after a restart of the daemon; without `namespacePath` then, because the running
   * container's own `/proc/<pid>/ns/net` is the path to its namespace.
   */
  endpoint(containerId: string): Endpoint | undefined {
    const record = this.#records.endpointOf(containerId);
    return record && this.#endpoint(record);
  }

  /**
   * After a restart: keeps the endpoints of the containers that live, drops all others, and puts the bridge, its ports
   * and the table back where somebody removed them meanwhile.
   */
  async restore(liveContainerIds: ReadonlySet<string>): Promise<void> {
    const kept: EndpointRecord[] = [];
    for (const record of this.#records.endpoints()) {
      if (record.container_id !== null && liveContainerIds.has(record.container_id)) kept.push(record);
      else this.#drop(record);
    }
    const connected = kept.filter((record) => record.host_interface !== null);
    if (connected.length === 0) return;
    try {
      this.#makeReady();
      this.#reconnect(connected);
    } catch (error) {
      // What runs goes on running, and the next container says what is wrong.
      log("error", "the network of running containers could not be checked", { error: errorMessage(error) });
    }
  }

  #reconnect(records: readonly EndpointRecord[]): void {
    for (const record of records) {
      if (record.container_id === null || record.host_interface === null) continue;
      if (this.#bridge.reconnect(record.host_interface)) continue;
      const fields = { container: record.container_id, interface: record.host_interface };
      log("warn", "a running container has lost its interface", fields);
    }
  }

  list(): NetworkSummary[] {
    const endpoints = this.#records.endpoints().filter((record) => record.container_id !== null);
    return [...this.#networks.values()].map((network) => ({
      id: network.id,
      name: network.name,
      driver: network.driver,
      createdAt: network.created_at,
      ...(network.bridge !== null && { bridge: network.bridge }),
      subnets: this.#records.subnets(network.id),
      endpoints: endpoints
        .filter((record) => record.network_id === network.id)
        .map((record) => ({
          containerId: record.container_id!,
          endpointId: record.id,
          mac: record.mac ?? "",
          ipv4: record.address ?? "",
          prefixLength: record.prefix_length ?? 0,
        })),
    }));
  }

  /** What the administrator should know: whose firewall will drop containers' packets, and how to let them pass. */
  warnings(): string[] {
    return this.#bridge.blockers.map(
      ({ where, why, hint }) =>
        `${where} drops the packets of containers on ${this.#bridge.name}: ${why}. To let them pass: ${hint}`,
    );
  }

  /**
   * The daemon ends. Spares are dropped; with no container on it the bridge goes too, with its table, so that a host
   * without containers is as it was. What running containers use stays.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    if (this.#spare !== undefined) this.#discard(this.#spare.record);
    this.#spareNamespace?.[Symbol.dispose]();
    for (const namespace of this.#namespaces.values()) namespace[Symbol.dispose]();
    await this.settled();
    const inUse = this.#records.endpoints().some((record) => record.host_interface !== null);
    try {
      if (!inUse && this.#ready !== undefined) this.#bridge.tearDown();
    } finally {
      this.#bridge[Symbol.dispose]();
    }
  }

  #addPlain(containerId: string, network: "host" | "none"): EndpointRecord {
    const record: EndpointRecord = {
      id: newId(),
      sandbox_id: newId(),
      container_id: containerId,
      network_id: this.#networks.get(network)!.id,
      interface: null,
      host_interface: null,
      mac: null,
      address: null,
      prefix_length: null,
    };
    this.#records.addEndpoint(record);
    return record;
  }

  #attachNone(containerId: string): Endpoint {
    const namespace = this.#spareNamespace ?? NetworkNamespace.create();
    this.#spareNamespace = undefined;
    try {
      const record = this.#addPlain(containerId, "none");
      this.#namespaces.set(record.sandbox_id, namespace);
      this.#later("namespace", () => {
        this.#spareNamespace ??= NetworkNamespace.create();
      });
      return this.#endpoint(record);
    } catch (error) {
      namespace[Symbol.dispose]();
      throw error;
    }
  }

  async #attachBridge(containerId: string): Promise<Endpoint> {
    const { addressing } = this.#makeReady();
    const spare = this.#takeSpare();
    if (spare !== undefined) this.#records.setContainer(spare.record.sandbox_id, containerId);
    const record = spare?.record ?? this.#connectWherePossible(containerId, addressing);
    this.#later("spare", () => {
      const { addressing: now } = this.#makeReady();
      if (this.#spare === undefined) {
        const made = this.#connect(null, now);
        this.#spare = { record: made, namespace: this.#namespaces.get(made.sandbox_id)! };
      }
    });
    const endpoint = this.#endpoint(record);
    for (
      let waitedMs = 0;
      waitedMs < forwardingWaitMs && !this.#bridge.isForwarding(record.host_interface!);
      waitedMs++
    ) {
      await Bun.sleep(1);
    }
    return endpoint;
  }

  #takeSpare(): Spare | undefined {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare === undefined || this.#bridge.isConnected(spare.record.host_interface!)) return spare;
    this.#discard(spare.record);
    return undefined;
  }

  /** The bridge may have been removed by hand since it was last seen: then it is made again, with its ports, once. */
  #connectWherePossible(containerId: string, addressing: BridgeAddressing): EndpointRecord {
    try {
      return this.#connect(containerId, addressing);
    } catch (error) {
      if (this.#bridge.find() !== undefined) throw error;
      log("warn", "the bridge is gone and is made again", { bridge: this.#bridge.name });
      this.#bridge.ensure(addressing);
      this.#reconnect(this.#records.endpoints());
      return this.#connect(containerId, addressing);
    }
  }

  /** A new namespace with an interface on the bridge, for a container or, with null, as a spare. */
  #connect(containerId: string | null, { subnet, gateway }: BridgeAddressing): EndpointRecord {
    const pool = this.#ready!.pool;
    const address = pool.allocate();
    const id = newId();
    const record: EndpointRecord = {
      id,
      sandbox_id: newId(),
      container_id: containerId,
      network_id: this.#networks.get("bridge")!.id,
      interface: containerInterface,
      host_interface: `${hostInterfacePrefix}${id.slice(0, hostInterfaceDigits)}`,
      mac: macOf(address),
      address: formatAddress(address),
      prefix_length: subnet.prefixLength,
    };
    try {
      this.#records.addEndpoint(record);
      const namespace = NetworkNamespace.create();
      this.#namespaces.set(record.sandbox_id, namespace);
      const veth = { name: record.host_interface!, interface: containerInterface, mac: record.mac! };
      this.#bridge.connect(veth, namespace);
      namespace.configure({ interface: containerInterface, address, subnet, gateway });
      return record;
    } catch (error) {
      try {
        this.#discard(record);
      } catch (second) {
        log("error", "an endpoint could not be undone", { endpoint: shortId(id), error: errorMessage(second) });
      }
      throw error;
    }
  }

  #endpoint(record: EndpointRecord): Endpoint {
    const network = [...this.#networks.values()].find((each) => each.id === record.network_id)!;
    const namespace = this.#namespaces.get(record.sandbox_id);
    const kind = network.driver === "null" ? "none" : network.driver;
    const base: Endpoint = {
      kind,
      ...(namespace !== undefined && { namespacePath: namespace.path }),
      sandboxId: record.sandbox_id,
      networkName: network.name,
      networkId: network.id,
      endpointId: record.id,
    };
    if (record.address === null) return base;
    const [addressing] = this.#records.subnets(network.id);
    return {
      ...base,
      interface: record.interface!,
      ipv4: record.address,
      prefixLength: record.prefix_length!,
      gateway: addressing!.gateway,
      mac: record.mac!,
    };
  }

  #makeReady(): { addressing: BridgeAddressing; pool: AddressPool } {
    if (this.#ready !== undefined) {
      this.#bridge.checkTables(this.#ready.addressing);
      return this.#ready;
    }
    const addressing = this.#addressing();
    enableForwarding((setting, previous) => this.#records.rememberHostSetting(setting, previous));
    this.#bridge.ensure(addressing);
    const pool = new AddressPool(addressing.subnet, [addressing.gateway]);
    for (const { address } of this.#records.endpoints())
      if (address !== null) takeIfInside(pool, parseAddress(address));
    this.#ready = { addressing, pool };
    return this.#ready;
  }

  #addressing(): BridgeAddressing {
    const network = this.#networks.get("bridge")!;
    const there = this.#bridge.find();
    const [row] = this.#records.subnets(network.id);
    const addressing = chooseAddressing({
      network: network.name,
      fixed: this.#fixed,
      pools: this.#pools,
      stored: row && { subnet: parseSubnet(row.subnet), gateway: parseAddress(row.gateway) },
      inUse: this.#records.endpoints().some((record) => record.container_id !== null && record.address !== null),
      obstacles: readObstacles(this.#bridge.route, there?.index),
    });
    const { subnet, gateway } = describeAddressing(addressing);
    if (row?.subnet === subnet && row.gateway === gateway) return addressing;
    // The interface and the table that are there have the old subnet's address and rules.
    if (there !== undefined) this.#bridge.tearDown();
    this.#records.setSubnets(network.id, [{ subnet, gateway }]);
    return addressing;
  }

  /** Lets go of an endpoint of this daemon's own life, whatever of it there is. */
  #discard(record: EndpointRecord): void {
    this.#namespaces.get(record.sandbox_id)?.[Symbol.dispose]();
    this.#namespaces.delete(record.sandbox_id);
    if (record.host_interface === null) {
      this.#records.removeSandbox(record.sandbox_id);
      return;
    }
    this.#records.setContainer(record.sandbox_id, null);
    const reaping = this.#reap(record).catch((error) => {
      log("error", "an interface could not be removed; the next start of the daemon tries again", {
        interface: record.host_interface!,
        error: errorMessage(error),
      });
    });
    this.#reaping.add(reaping);
    void reaping.finally(() => this.#reaping.delete(reaping));
  }

  /**
   * Waits until the kernel has taken the veth down, and frees the address then: until that moment the old namespace
   * answers for it. Another container may have joined the namespace and keep it: then the veth is deleted.
   */
  async #reap(record: EndpointRecord): Promise<void> {
    const veth = record.host_interface!;
    for (const delayMs of reapDelaysMs) {
      if (!this.#bridge.exists(veth)) break;
      await Bun.sleep(delayMs);
    }
    if (this.#bridge.exists(veth)) this.#bridge.remove(veth);
    this.#forget(record);
  }

  /** Removes an endpoint that an earlier daemon left. */
  #drop(record: EndpointRecord): void {
    if (record.host_interface !== null) this.#bridge.remove(record.host_interface);
    this.#forget(record);
  }

  #forget(record: EndpointRecord): void {
    this.#records.removeSandbox(record.sandbox_id);
    if (record.address !== null) this.#ready?.pool.release(parseAddress(record.address));
  }

  /** Makes a spare when there is time. One that cannot be made is no loss: the next attachment says why. */
  #later(what: string, work: () => void): void {
    if (this.#closed || this.#timers.has(what)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(what);
      try {
        work();
      } catch (error) {
        log("debug", `no spare ${what} for the next container`, { error: errorMessage(error) });
      }
    }, refillDelayMs);
    timer.unref();
    this.#timers.set(what, timer);
  }
}

function joined(namespacePath: string): Endpoint {
  return { kind: "container", namespacePath, sandboxId: "", networkName: "", networkId: "", endpointId: "" };
}

function takeIfInside(pool: AddressPool, address: Address): void {
  if (contains(pool.subnet, address)) pool.take(address);
}
