/** The networks that are in use in this daemon's life: their devices on the host, and which addresses are taken. */
import { isDeepStrictEqual } from "node:util";
import { findLink, type Link } from "../../ffi/netlink/link.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { formatAddress, parseAddress, parseSubnet, type Subnet, subnetOf } from "./address.ts";
import { type DefaultBridgeAddresses, defaultBridgeRequests, planDefaultBridge } from "./default-bridge.ts";
import { addressesOn, isAdoptable, isOthers } from "./driver/adopted-bridge.ts";
import { BridgeDevice } from "./driver/bridge.ts";
import type { DriverContext, NetworkDevice } from "./driver/driver.ts";
import { bridgeOptions, interfacePrefix } from "./driver/options.ts";
import { isStacked } from "./driver/parent-options.ts";
import { StackedDevice } from "./driver/stacked.ts";
import type { ExistingBridge, OwnAddress } from "./existing-bridge.ts";
import type { DepartedAddresses } from "./firewall/departed.ts";
import type { Firewall } from "./firewall/firewall.ts";
import type { BridgeRules, PortTranslation } from "./firewall/rules.ts";
import { absenceOfIpv6, enableForwarding, enableIpv6Forwarding, readObstacles } from "./host.ts";
import type { Pool } from "./ipam.ts";
import type { Network, NetworkDriver, SubnetStatus } from "./network.ts";
import { NetworkAddresses } from "./network-addresses.ts";
import type { Obstacle } from "./obstacles.ts";
import type { EndpointAddress, NetworkRecords } from "./records.ts";

/** A network that containers can be put on. */
export interface LiveNetwork {
  network: Network;
  device: NetworkDevice;
  addresses: NetworkAddresses;
}

export interface LiveNetworksOptions {
  records: NetworkRecords;
  firewall: Firewall;
  departed: DepartedAddresses;
  /** What the daemon was told of the default network's subnets, by family. */
  told: DefaultBridgeAddresses;
  pools: readonly Pool[];
  /** The host is made to forward. */
  forwarding: boolean;
  /** Told of a network whose subnets were chosen only now. */
  onChange: (network: Network) => void;
  /** Told when a device had to be made where endpoints may be. */
  onRemade: (live: LiveNetwork) => void;
}

export class LiveNetworks implements Disposable {
  readonly #options: LiveNetworksOptions;
  readonly #route = new NetlinkSocket(NETLINK_ROUTE);
  readonly #context: DriverContext;
  readonly #live = new Map<string, LiveNetwork>();
  readonly #forwarded = new Set<4 | 6>();

  constructor(options: LiveNetworksOptions) {
    this.#options = options;
    this.#context = { route: this.#route, sharers: (network) => this.#sharers(network), adoptions: options.records };
  }

  /** The network, if it was used in this daemon's life. */
  get(networkId: string): LiveNetwork | undefined {
    return this.#live.get(networkId);
  }

  all(): LiveNetwork[] {
    return [...this.#live.values()];
  }

  /**
   * The network with all that it needs on the host: made at its first use, and only looked at, where somebody may have
   * changed it meanwhile, later on.
   * @throws EngineError, NetlinkError; nothing half made is left.
   */
  use(network: Network): LiveNetwork {
    const there = this.#live.get(network.id);
    if (there !== undefined) {
      this.#options.firewall.check();
      return there;
    }
    const { live, made } = this.#bring(network);
    try {
      for (const rules of bridgeRules(live)) this.#options.firewall.setBridge(rules);
    } catch (error) {
      this.#live.delete(network.id);
      try {
        if (made) live.device.tearDown();
      } catch (undoing) {
        // The next use finds it by its alias.
        log("error", "a network could not be undone", { network: network.name, error: errorMessage(undoing) });
      }
      throw error;
    }
    return live;
  }

  /**
   * After a restart of the daemon: brings networks up, and the firewall to what it is to be, in one go: rules that are
   * right are not touched. What cannot be is logged; the next use of the network says it.
   */
  restore(networks: readonly Network[], ports: readonly PortTranslation[]): void {
    for (const network of networks) {
      try {
        this.#bring(network);
      } catch (error) {
        log("error", "a network could not be made again", { network: network.name, error: errorMessage(error) });
      }
    }
    const { firewall } = this.#options;
    const bridges = this.all().flatMap(bridgeRules);
    try {
      if (bridges.length === 0) firewall.tearDown();
      else firewall.replace({ bridges, ports: ports.filter(({ bridge }) => bridges.some((b) => b.bridge === bridge)) });
    } catch (error) {
      log("error", "the firewall could not be made right", { error: errorMessage(error) });
    }
  }

  #bring(network: Network): { live: LiveNetwork; made: boolean } {
    const addressed = needsSubnet(network) ? this.#chooseSubnets(network) : asPossible(network);
    this.#forward(addressed);
    const live = { network: addressed, device: this.open(addressed), addresses: this.#addresses(addressed) };
    const made = live.device.ensure();
    for (const address of live.device.hostAddresses?.() ?? []) live.addresses.reserve(address);
    this.#live.set(network.id, live);
    return { live, made };
  }

  /** What leaves a bridge goes through the host. @throws EngineError unsupported when it cannot be made to forward. */
  #forward({ driver, enableIpv6 }: Network): void {
    if (driver !== "bridge" || !this.#options.forwarding) return;
    const remember = (setting: string, previous: string): void =>
      this.#options.records.rememberHostSetting(setting, previous);
    if (!this.#forwarded.has(4)) enableForwarding(remember);
    this.#forwarded.add(4);
    if (!enableIpv6 || this.#forwarded.has(6)) return;
    this.#forwarded.add(6);
    try {
      enableIpv6Forwarding(this.#route, remember);
    } catch (error) {
      // Nobody asked for IPv6 by name: containers reach each other with it, and the rest with IPv4.
      log("warn", "IPv6 does not leave this host", { error: errorMessage(error) });
    }
  }

  /** Makes sure of a network's device once more, for it may have been removed by hand. */
  ensure(live: LiveNetwork): void {
    if (!live.device.ensure()) return;
    log("warn", "the interface of a network was gone and is made again", {
      network: live.network.name,
      interface: live.device.device,
    });
    this.#options.firewall.bridgeRemade(live.device.device);
    this.#options.onRemade(live);
  }

  /** What makes the network's interfaces, in use or not. @throws EngineError invalid_argument for its options. */
  open(network: Network): NetworkDevice {
    const live = this.#live.get(network.id);
    return live?.device ?? openDevice(network, this.#context);
  }

  #sharers({ id, device }: Network): Network[] {
    const { records } = this.#options;
    return records
      .networks()
      .filter((each) => each.id !== id && each.device === device && records.hasEndpoints(each.id));
  }

  /** Takes away all that a network has on the host. Nothing may be connected. */
  tearDown(network: Network): void {
    const device = this.open(network);
    this.#live.delete(network.id);
    if (network.driver === "bridge") this.#options.firewall.removeBridge(device.device);
    device.tearDown();
    device[Symbol.dispose]();
    if (!this.all().some((live) => live.network.driver === "bridge")) this.#options.firewall.tearDown();
  }

  /**
   * The default network with the subnets that it will have, unless something comes into their way before it is used:
   * so that they can be shown. Nothing is made.
   */
  foresee(network: Network): Network {
    if (!needsSubnet(network) || network.subnets.length > 0) return network;
    try {
      const device = new BridgeDevice(network, this.#context);
      const planned = this.#planSubnets(network, device, device.find());
      this.#record(planned);
      return planned;
    } catch (error) {
      // The first container says it.
      log("debug", "the default network has no subnet yet", { error: errorMessage(error) });
      return network;
    }
  }

  /** Those of the default network. @throws EngineError conflict that names what is in the way. */
  #chooseSubnets(network: Network): Network {
    const device = new BridgeDevice(network, this.#context);
    const there = device.find();
    const chosen = this.#planSubnets(network, device, there);
    if (isDeepStrictEqual(chosen, network)) return network;
    // The interface and the rules that are there have the old subnets' addresses.
    if (there !== undefined && !this.#options.records.hasContainers(network.id)) {
      this.#options.firewall.removeBridge(device.device);
      device.tearDown();
    }
    this.#record(chosen);
    return chosen;
  }

  #planSubnets(network: Network, device: BridgeDevice, link: Link | undefined): Network {
    const { records, told, pools } = this.#options;
    const own = link && device.existing(link);
    const subnets = planDefaultBridge({
      told: defaultBridgeRequests(told, own ?? []),
      families: { ipv4: true, ipv6: network.enableIpv6 },
      pools,
      stored: network.subnets,
      inUse: records.hasContainers(network.id),
      networks: records.networks().filter(({ id }) => id !== network.id),
      obstacles: readObstacles(this.#route, link?.index, own?.map(subnetOfAddress)),
    });
    return { ...network, subnets, enableIpv6: subnets.some(({ subnet }) => parseSubnet(subnet).family === 6) };
  }

  #record(network: Network): void {
    this.#options.records.updateNetwork(network);
    this.#options.onChange(network);
  }

  /** What uses addresses on the host. */
  obstacles(): Obstacle[] {
    return readObstacles(this.#route);
  }

  /**
   * An address of one family: the one that was asked for, or the next of the first subnet that has one free.
   * @throws EngineError invalid_argument for one outside of all subnets, conflict when it is taken or none is free.
   */
  takeAddress({ addresses }: LiveNetwork, family: 4 | 6, fixed: string | undefined): EndpointAddress {
    const address = fixed === undefined ? addresses.allocate(family) : parseAddress(fixed);
    if (address.family !== family) {
      throw new EngineError("invalid_argument", `invalid IPv${family} address: ${fixed}`);
    }
    if (fixed !== undefined) addresses.take(address);
    this.#options.departed.claim(address);
    return { address: formatAddress(address), prefixLength: addresses.subnetOf(address)!.prefixLength };
  }

  /** @param isUsed somebody had it, and may have left flows. */
  releaseAddress({ id, driver }: Network, { address }: EndpointAddress, isUsed: boolean): void {
    const parsed = parseAddress(address);
    this.#live.get(id)?.addresses.release(parsed);
    // What goes by other drivers does not pass through this host's connection tracking.
    if (isUsed && driver === "bridge") this.#options.departed.add(parsed);
  }

  /** Whether that is a bridge of somebody else's, on which one of tsd's networks may be. */
  isOthers(device: string): boolean {
    const link = findLink(this.#route, device);
    return link !== undefined && isOthers(link);
  }

  /** A bridge that is there, and that a network can be put on. */
  existingBridge(device: string): ExistingBridge | undefined {
    const link = findLink(this.#route, device);
    if (link === undefined || !isAdoptable(link)) return undefined;
    const addresses = addressesOn(this.#route, link);
    return { addresses, obstacles: readObstacles(this.#route, link.index, addresses.map(subnetOfAddress)) };
  }

  status(network: Network): SubnetStatus[] {
    return (this.#live.get(network.id)?.addresses ?? this.#addresses(network)).status();
  }

  #addresses(network: Network): NetworkAddresses {
    const addresses = new NetworkAddresses(network);
    for (const text of this.#options.records.addressesOf(network.id)) {
      const address = parseAddress(text);
      if (addresses.subnetOf(address) !== undefined) addresses.take(address);
    }
    return addresses;
  }

  [Symbol.dispose](): void {
    for (const { device } of this.#live.values()) device[Symbol.dispose]();
    this.#live.clear();
    this.#route.close();
  }
}

/**
 * The network as it can be now: IPv6 may have been switched off on the host since the network was made. On record it
 * stays as it was, for the day on which IPv6 is there again.
 * @throws EngineError unsupported when nothing is left.
 */
function asPossible(network: Network): Network {
  const reason = network.enableIpv6 ? absenceOfIpv6() : undefined;
  if (reason === undefined) return network;
  const text = `network ${network.name}: the host has no IPv6: ${reason}`;
  if (!network.enableIpv4) throw new EngineError("unsupported", text);
  log("warn", `${text}; the network is of IPv4 alone`);
  return {
    ...network,
    enableIpv6: false,
    subnets: network.subnets.filter(({ subnet }) => parseSubnet(subnet).family === 4),
  };
}

function subnetOfAddress({ address, prefixLength }: OwnAddress): Subnet {
  return subnetOf(address, prefixLength);
}

/** The default network has its subnets from its first use on, and gets others when a route is in the way. */
function needsSubnet(network: Network): boolean {
  return network.isBuiltIn && network.driver === "bridge";
}

function openDevice(network: Network, context: DriverContext): NetworkDevice {
  // Read when the first container comes; what is wrong with it is said when the network is made.
  interfacePrefix(network);
  if (network.driver === "bridge") return new BridgeDevice(network, context);
  if (isStacked(network.driver)) return new StackedDevice(network.driver, network, context);
  throw new EngineError("unsupported", `network ${network.name}: driver ${network.driver} has no interfaces`);
}

/** The drivers whose networks have an interface on the host. */
export function hasDevice(driver: NetworkDriver): boolean {
  return driver !== "host" && driver !== "null";
}

/** What the firewall is to do for a network: nothing where there is no bridge. */
function bridgeRules({ network, device }: LiveNetwork): BridgeRules[] {
  if (network.driver !== "bridge") return [];
  const { masquerade, gatewayMode, interContainer, trustedInterfaces } = bridgeOptions(network);
  const isMasqueraded = (mode: string): boolean => masquerade && !network.internal && mode !== "routed";
  return [
    {
      bridge: device.device,
      subnets: network.subnets.map(({ subnet }) => parseSubnet(subnet)),
      internal: network.internal,
      masquerade: { ipv4: isMasqueraded(gatewayMode.ipv4), ipv6: isMasqueraded(gatewayMode.ipv6) },
      interContainer,
      gatewayMode,
      ...(trustedInterfaces.length > 0 && { trustedInterfaces }),
    },
  ];
}
