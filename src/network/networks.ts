import type { Database } from "bun:sqlite";
import { isDeepStrictEqual } from "node:util";
import type { Descriptor } from "../../ffi/fd.ts";
import { advice } from "../core/advice.ts";
import { EngineError, errorMessage, isEngineError, wrapError } from "../core/errors.ts";
import { newId, shortId } from "../core/id.ts";
import { log } from "../core/log.ts";
import type { NetworkConfiguration } from "./configuration.ts";
import { type DefaultBridgeAddresses, defaultBridgeRequests } from "./default-bridge.ts";
import { checkInterfaceName } from "./driver/interface-name.ts";
import { bridgeOptions, defaultBridgeOptions, withoutIpv6ByMtu } from "./driver/options.ts";
import { Endpoints } from "./endpoints.ts";
import { DepartedAddresses } from "./firewall/departed.ts";
import { Firewall } from "./firewall/firewall.ts";
import { absenceOfIpv6 } from "./host.ts";
import { addressPools } from "./ipam.ts";
import { hasDevice, LiveNetworks } from "./live-networks.ts";
import { Resolver, type ResolverOptions } from "./names/resolver.ts";
import type { Network, NetworkMember, NetworkRequest, SubnetStatus } from "./network.ts";
import { createdNow, NetworkTable } from "./network-table.ts";
import { planNetwork } from "./plan.ts";
import type { ProxyOptions } from "./ports/held-sockets.ts";
import { Ports } from "./ports/ports.ts";
import { Reaper } from "./reaper.ts";
import { type EndpointAddress, NetworkRecords, type SandboxRecord } from "./records.ts";
import type { ContainerNames, EndpointRequest, Sandbox, SandboxRequest } from "./sandbox.ts";
import { SandboxServices } from "./sandbox-services.ts";
import { Sandboxes } from "./sandboxes.ts";

export interface NetworksOptions {
  /** The metadata database, with `networkSchema`. */
  database: Database;
  /** The name of the daemon's table of nf_tables. */
  table: string;
  bridge: {
    /** The interface's name, at most 15 bytes. */
    name: string;
    /** What of its subnets is fixed; the rest is chosen from the pools. */
    addresses?: DefaultBridgeAddresses | undefined;
    /** Absent: where the host has it. */
    ipv6?: boolean | undefined;
    /** The driver's. */
    options?: Record<string, string> | undefined;
  };
  /** `172.28.0.0/14 size 16`, in order of preference; of a family that is not among them tsd has its own. */
  pools?: readonly string[] | undefined;
  /** By driver, what a new network has unless it says otherwise. */
  driverOptions?: NetworkConfiguration["driverOptions"];
  /** Whether the host is made to forward what it does not forward yet; true unless told. */
  forwarding?: boolean | undefined;
  /** How ports are published that do not say it. */
  publish?: NetworkConfiguration["publish"] | undefined;
  /** The processes beside the daemon that hold ports and answer questions for names. */
  companions: { proxy: ProxyOptions; resolver: ResolverOptions };
}

/**
 * The networks and who is on them. The host is not touched before the first container needs the default network, or
 * somebody makes another one.
 */
export class Networks {
  readonly #records: NetworkRecords;
  readonly #networks: NetworkTable;
  readonly #firewall: Firewall;
  readonly #departed = new DepartedAddresses();
  readonly #ports: Ports;
  readonly #resolver: Resolver;
  readonly #live: LiveNetworks;
  readonly #reaper: Reaper;
  readonly #services: SandboxServices;
  readonly #sandboxes: Sandboxes;
  readonly #pools;
  readonly #driverOptions: NetworkConfiguration["driverOptions"];
  #closed = false;

  /** @throws EngineError invalid_argument for a wrong name, address or pool. */
  constructor(options: NetworksOptions) {
    const { database, table, bridge, pools, forwarding, publish, companions } = options;
    this.#driverOptions = options.driverOptions;
    // Throws for what cannot be.
    defaultBridgeRequests(bridge.addresses ?? {});
    this.#firewall = new Firewall(table);
    this.#ports = new Ports({
      database,
      firewall: this.#firewall,
      proxy: companions.proxy,
      ...(publish ?? { mode: "nat" }),
    });
    this.#resolver = new Resolver(companions.resolver);
    this.#records = new NetworkRecords(database);
    this.#pools = addressPools(pools ?? [], this.#records.uniqueLocalPrefix());
    this.#networks = new NetworkTable(this.#records);
    this.#live = new LiveNetworks({
      records: this.#records,
      firewall: this.#firewall,
      departed: this.#departed,
      told: bridge.addresses ?? {},
      pools: this.#pools,
      forwarding: forwarding ?? true,
      onChange: (network) => this.#networks.update(network),
      onRemade: ({ network }) => this.#sandboxes.reconnect(network.id),
    });
    this.#configureBridge(bridge);
    const endpoints = new Endpoints(this.#records, this.#networks, this.#live);
    this.#reaper = new Reaper(this.#records, endpoints);
    const networks = this.#networks;
    this.#services = new SandboxServices({ networks, endpoints, ports: this.#ports, resolver: this.#resolver });
    this.#sandboxes = new Sandboxes({
      records: this.#records,
      networks,
      live: this.#live,
      endpoints,
      reaper: this.#reaper,
      services: this.#services,
    });
  }

  /** @throws EngineError invalid_argument, unsupported for IPv6 that was asked for and is not there. */
  #configureBridge({ name, ipv6, options, addresses }: NetworksOptions["bridge"]): void {
    const withoutIpv6 = absenceOfIpv6();
    if (ipv6 === true && withoutIpv6 !== undefined) {
      throw new EngineError("unsupported", `network bridge: the host has no IPv6: ${withoutIpv6}`);
    }
    const network = this.#networks.builtIn("bridge");
    const device = checkInterfaceName(name);
    const configured = { ...network, device, options: { ...defaultBridgeOptions(device), ...options } };
    const tooSmall = withoutIpv6ByMtu(configured);
    if (ipv6 === true && tooSmall !== undefined) {
      throw new EngineError("invalid_argument", `network bridge: ${tooSmall}`);
    }
    // On a bridge that is not tsd's only where it is asked for.
    const isWanted =
      addresses?.address6 !== undefined || addresses?.range6 !== undefined || !this.#live.isOthers(device);
    configured.enableIpv6 = ipv6 ?? (withoutIpv6 === undefined && tooSmall === undefined && isWanted);
    // Throws for what cannot be.
    bridgeOptions(configured);
    if (!isDeepStrictEqual(configured, network)) this.#networks.update(configured);
  }

  async create(request: NetworkRequest): Promise<{ network: Network; warnings: string[] }> {
    const network = planNetwork(request, {
      id: newId(),
      createdAt: createdNow(),
      networks: this.#networks.all(),
      obstacles: this.#live.obstacles(),
      existingBridge: (device) => this.#live.existingBridge(device),
      pools: this.#pools,
      driverOptions: this.#driverOptions,
      withoutIpv6: absenceOfIpv6(),
    });
    // What is wrong with its options is said before there is anything.
    if (hasDevice(network.driver)) this.#live.open(network)[Symbol.dispose]();
    this.#networks.add(network);
    try {
      if (hasDevice(network.driver)) this.#live.use(network);
    } catch (error) {
      this.#abandon(network);
      // A driver's own error has the name already.
      if (isEngineError(error) && error.message.startsWith(`network ${network.name}: `)) throw error;
      throw wrapError(error, `create network ${network.name}`, { stage: "network" });
    }
    return { network, warnings: [] };
  }

  /** What cannot be taken away stays on record: it shows in the list, and can be removed. */
  #abandon(network: Network): void {
    try {
      if (hasDevice(network.driver)) this.#live.tearDown(network);
      this.#networks.remove(network);
    } catch (error) {
      log("error", "a network could not be undone", { network: network.name, error: errorMessage(error) });
    }
  }

  async remove(id: string): Promise<void> {
    const { name, isBuiltIn } = this.#networks.get(id);
    if (isBuiltIn) {
      throw new EngineError("forbidden", `${name} is a pre-defined network and cannot be removed`);
    }
    await this.#reaper.settledOn(id);
    // Whoever else removes it may have been faster, and another network have its device by now.
    const network = this.#networks.get(id);
    const [active, left] = this.#endpointsOn(id);
    if (active.length > 0) {
      const list = active.map((record) => {
        const called = record.wishes.names[0] ?? shortId(record.containerId!);
        return `name:${JSON.stringify(called)} id:${JSON.stringify(shortId(record.id))}`;
      });
      const text = `error while removing network: network ${name} id ${id} has active endpoints (${list.join(" ")})`;
      throw new EngineError("forbidden", text, { hint: advice.networkUsed(name) });
    }
    if (left.length > 0) {
      const interfaces = left.map((record) => record.hostInterface ?? record.interface).join(" ");
      const text = `network ${name}: interfaces of containers that have ended could not be removed: ${interfaces}`;
      throw new EngineError("internal", text, { hint: "the daemon's log says why" });
    }
    const dependent = this.#networks.all().find((each) => network.configOnly && each.configFrom === name);
    if (dependent !== undefined) {
      throw new EngineError("forbidden", `configuration network ${name} is in use by network ${dependent.name}`);
    }
    // The record goes last: of a removal that is cut short the network is what is left, whole again with the next use.
    if (hasDevice(network.driver)) this.#live.tearDown(network);
    this.#networks.remove(network);
  }

  /** Those of containers, and those that are nobody's any more. */
  #endpointsOn(id: string) {
    const byUse = Map.groupBy(this.#records.endpointsOn(id), ({ containerId }) => containerId !== null);
    return [byUse.get(true) ?? [], byUse.get(false) ?? []] as const;
  }

  find(reference: string): Network {
    return this.#live.foresee(this.#networks.find(reference));
  }

  list(): Network[] {
    return this.#networks.all().map((network) => this.#live.foresee(network));
  }

  members(id: string): NetworkMember[] {
    const withLength = (address: EndpointAddress | undefined): string =>
      address === undefined ? "" : `${address.address}/${address.prefixLength}`;
    return this.#records.endpointsOn(id).flatMap(({ containerId, ...record }) =>
      containerId === null
        ? []
        : {
            containerId,
            endpointId: record.id,
            mac: record.mac ?? "",
            ipv4: withLength(record.ipv4),
            ipv6: withLength(record.ipv6),
          },
    );
  }

  status(id: string): SubnetStatus[] {
    const network = this.#networks.get(id);
    return this.#live.status(network);
  }

  attach(containerId: string, request: SandboxRequest): Promise<Sandbox> {
    return this.#sandboxes.attach(containerId, request);
  }

  prepare(userNamespace: Descriptor, isConnected: boolean): void {
    this.#sandboxes.prepare(userNamespace, isConnected);
  }

  detach(containerId: string): Promise<void> {
    return this.#sandboxes.detach(containerId);
  }

  sandbox(containerId: string): Sandbox | undefined {
    return this.#sandboxes.sandbox(containerId);
  }

  connect(containerId: string, request: EndpointRequest): Promise<Sandbox> {
    return this.#sandboxes.connect(containerId, request);
  }

  disconnect(containerId: string, networkId: string): Promise<Sandbox> {
    return this.#sandboxes.disconnect(containerId, networkId);
  }

  /**
   * A container that runs is called something else; nothing happens when it is on no network.
   * @throws EngineError when that cannot be made known; it is called what it was called before.
   */
  async rename(containerId: string, { containerName, names }: ContainerNames): Promise<Sandbox | undefined> {
    const before = this.#records.sandboxOf(containerId);
    if (before === undefined) return undefined;
    const endpoints = before.endpoints.map(({ wishes, ...endpoint }) => {
      return { ...endpoint, wishes: { ...wishes, names: names.get(endpoint.networkId) ?? wishes.names } };
    });
    try {
      await this.#call({ ...before, containerName, endpoints });
    } catch (error) {
      try {
        await this.#call(before);
      } catch (undoing) {
        log("error", "a container's names could not be put back", { containerId, error: errorMessage(undoing) });
      }
      throw wrapError(error, `rename container ${shortId(containerId)}`, { stage: "network" });
    }
    return this.sandbox(containerId);
  }

  async #call(record: SandboxRecord): Promise<void> {
    this.#records.setWishes(record);
    this.#ports.rename(record.containerId!, record.containerName);
    await this.#services.renamed(record);
  }

  /**
   * After a restart: keeps the sandboxes of the containers that live, drops all others, and puts networks' interfaces,
   * their ports and the firewall back where somebody removed them meanwhile.
   */
  async restore(live: ReadonlyMap<string, { namespacePath: string }>): Promise<void> {
    const kept = [];
    for (const sandbox of this.#records.sandboxes()) {
      const alive = sandbox.containerId === null ? undefined : live.get(sandbox.containerId);
      if (alive === undefined) this.#reaper.drop(sandbox);
      else kept.push({ sandbox, ...alive });
    }
    // The default network waits for its first container.
    await this.#ports.restore(live);
    const isUsed = ({ id, isBuiltIn }: Network): boolean => !isBuiltIn || this.#records.hasContainers(id);
    this.#live.restore(
      this.#networks.all().filter((network) => hasDevice(network.driver) && isUsed(network)),
      this.#ports.translations(),
    );
    const adopted = kept.flatMap(({ sandbox, namespacePath }) => {
      const path = this.#sandboxes.adopt(sandbox, namespacePath);
      return path === undefined ? [] : { record: sandbox, namespacePath: path };
    });
    await this.#services.restoreNames(adopted);
    for (const { record } of adopted) await this.#services.settlePorts(record);
  }

  /** Resolves when what was detached is gone from the kernel, with its flows, and from the database. */
  async settled(): Promise<void> {
    await this.#reaper.settled();
    await this.#departed.settled();
  }

  /** What the administrator should know: whose firewall will drop containers' packets, and how to let them pass. */
  warnings(): string[] {
    return this.#firewall.warnings();
  }

  /**
   * The daemon ends. Spares are dropped; networks with no container on them go from the host, with their rules, so that
   * a host without containers is as it was. What running containers use stays.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#sandboxes.close();
    await this.settled();
    this.#ports.close();
    this.#resolver.close();
    // Also those that this daemon has not used: the one before was killed, and left them.
    for (const network of this.#networks.all()) {
      if (!hasDevice(network.driver) || this.#records.hasEndpoints(network.id)) continue;
      try {
        this.#live.tearDown(network);
      } catch (error) {
        log("error", "a network's interface stays on the host", { network: network.name, error: errorMessage(error) });
      }
    }
    this.#live[Symbol.dispose]();
    this.#firewall[Symbol.dispose]();
    this.#departed[Symbol.dispose]();
  }
}
