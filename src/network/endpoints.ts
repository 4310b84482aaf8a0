/** A container's place on one network: chosen, made in the kernel, shown, and removed. */
import { EngineError } from "../core/errors.ts";
import { newId, shortId } from "../core/id.ts";
import { formatAddress, macOf, parseAddress, randomMac } from "./address.ts";
import { gatewayOf, type RoutedEndpoint } from "./default-route.ts";
import type { DeviceEndpoint, NetworkDevice } from "./driver/driver.ts";
import { hostInterfaceName } from "./driver/interface-name.ts";
import { endpointInterfaceName, endpointSysctls, interfacePrefix } from "./driver/options.ts";
import { hasDevice, type LiveNetwork, type LiveNetworks } from "./live-networks.ts";
import type { DefaultRoute, InterfacePlan, NetworkNamespace } from "./namespace.ts";
import type { Network } from "./network.ts";
import type { NetworkTable } from "./network-table.ts";
import type { EndpointAddress, EndpointRecord, NetworkRecords, SandboxRecord } from "./records.ts";
import type { EndpointRequest, SandboxEndpoint } from "./sandbox.ts";

export class Endpoints {
  readonly #records: NetworkRecords;
  readonly #networks: NetworkTable;
  readonly #live: LiveNetworks;

  constructor(records: NetworkRecords, networks: NetworkTable, live: LiveNetworks) {
    this.#records = records;
    this.#networks = networks;
    this.#live = live;
  }

  /**
   * Chooses what the endpoint will have, and takes its addresses. Nothing is made or written.
   * @param taken the names of the interfaces that are in the namespace.
   * @throws EngineError invalid_argument, conflict, not_found; no address is taken then.
   */
  plan(sandboxId: string, request: EndpointRequest, taken: readonly string[]): EndpointRecord {
    const network = this.#networks.get(request.networkId);
    refuseWithoutDevice(network);
    const live = this.#live.use(network);
    const { names, links, driverOptions, gatewayPriority, linkLocal } = request;
    const wishes = { names, links, driverOptions, gatewayPriority, ...(linkLocal?.length && { linkLocal }) };
    const interfaceName = chooseName(live.network, driverOptions, taken);
    // Read now, for what is wrong with them is to be said before anything is made.
    endpointSysctls(driverOptions, interfaceName);
    for (const address of linkLocal ?? []) parseAddress(address);
    const id = newId();
    const record: EndpointRecord = {
      id,
      sandboxId,
      networkId: network.id,
      interface: interfaceName,
      hostInterface: hostInterfaceName(id),
      wishes,
    };
    try {
      // As the network is now: a family may be missing on the host.
      if (live.network.enableIpv4) record.ipv4 = this.#take(live, 4, request.ipv4);
      else refuseFixed(network, 4, request.ipv4);
      if (live.network.enableIpv6) record.ipv6 = this.#take(live, 6, request.ipv6);
      else refuseFixed(network, 6, request.ipv6);
      const mac = this.#mac(record, live.device, request.mac);
      return { ...record, ...(mac !== undefined && { mac }) };
    } catch (error) {
      this.release(record, false);
      throw error;
    }
  }

  #take(live: LiveNetwork, family: 4 | 6, fixed: string | undefined): EndpointAddress {
    if (fixed !== undefined) {
      const address = formatAddress(parseAddress(fixed));
      refuseTaken(live.network, `address ${address}`, this.#records.holderOfAddress(live.network.id, address));
    }
    return this.#live.takeAddress(live, family, fixed);
  }

  #mac(record: EndpointRecord, device: NetworkDevice, wanted: string | undefined): string | undefined {
    if (!device.ownMac) {
      if (wanted === undefined) return undefined;
      const text = `interface ${record.interface}: a MAC address cannot be set: it has its parent's`;
      throw new EngineError("invalid_argument", text);
    }
    const network = this.#networks.get(record.networkId);
    const holder = (mac: string) => this.#records.holderOfMac(network.id, mac);
    if (wanted !== undefined) {
      const mac = wanted.toLowerCase();
      // Docker lets two have it, of which neither is reached then.
      refuseTaken(network, `MAC address ${mac}`, holder(mac));
      return mac;
    }
    const [address] = [record.ipv4, record.ipv6].filter((each) => each !== undefined);
    let mac = macOf(parseAddress(address!.address));
    // Somebody asked for the one that belongs to this address.
    while (holder(mac) !== undefined) mac = randomMac();
    return mac;
  }

  /** Gives its addresses back. @param isUsed a container had them. */
  release({ networkId, ipv4, ipv6 }: EndpointRecord, isUsed: boolean): void {
    const network = this.#networks.get(networkId);
    for (const address of [ipv4, ipv6]) {
      if (address !== undefined) this.#live.releaseAddress(network, address, isUsed);
    }
  }

  /**
   * Makes the interface in the namespace, with addresses and the routes that lead out of it. It is on record already.
   * @throws EngineError, NetlinkError; the caller removes what is left.
   */
  make(record: EndpointRecord, namespace: NetworkNamespace, routes: readonly DefaultRoute[]): void {
    const live = this.#live.use(this.#networks.get(record.networkId));
    this.#live.ensure(live);
    live.device.create(deviceEndpoint(record), namespace);
    const own = routes.filter((route) => route.interface === record.interface);
    namespace.configure(interfacePlan(record, live.network), own);
  }

  /**
   * Takes it over after a restart; makes it again where it is gone, and finishes it where the daemon was killed between
   * making and configuring it. @returns whether it was there and whole.
   */
  adopt(record: EndpointRecord, namespace: NetworkNamespace): boolean {
    const live = this.#live.use(this.#networks.get(record.networkId));
    if (!live.device.adopt(deviceEndpoint(record), namespace)) this.make(record, namespace, []);
    else if (namespace.isBlank(record.interface!)) namespace.configure(interfacePlan(record, live.network), []);
    else return true;
    return false;
  }

  /** Hangs an interface on its network's device again, after that was made anew; one that is gone stays away. */
  reconnect(record: EndpointRecord, namespace: NetworkNamespace): void {
    this.device(record)?.adopt(deviceEndpoint(record), namespace);
  }

  /** Lets a container reach its own published ports. */
  reflect(record: EndpointRecord): void {
    this.device(record)?.reflect?.(deviceEndpoint(record));
  }

  /** Removes the interface where it is; one that is not there is no error. The addresses stay taken. */
  remove(record: EndpointRecord, namespace: NetworkNamespace | undefined): void {
    const device = this.device(record);
    if (device !== undefined) device.remove(deviceEndpoint(record), namespace);
  }

  /** Undefined for an endpoint without an interface: on `host`, on `none`. */
  device(record: EndpointRecord): NetworkDevice | undefined {
    if (record.interface === undefined) return undefined;
    return this.#live.open(this.#networks.get(record.networkId));
  }

  isConnected(record: EndpointRecord, namespace: NetworkNamespace): boolean {
    return this.device(record)?.isConnected(deviceEndpoint(record), namespace) === true;
  }

  isForwarding(record: EndpointRecord): boolean {
    return this.device(record)?.isForwarding(deviceEndpoint(record)) !== false;
  }

  /** Whether the host's end is still there. */
  isOnHost(record: EndpointRecord): boolean {
    const device = this.device(record);
    return device?.hasHostInterface === true && device.isOnHost(deviceEndpoint(record));
  }

  routed(record: EndpointRecord): RoutedEndpoint {
    const network = this.#networks.get(record.networkId);
    return { record, network, routesWithoutGateway: this.device(record)?.routesWithoutGateway === true };
  }

  view(record: EndpointRecord): SandboxEndpoint {
    const network = this.#networks.get(record.networkId);
    const { ipv4, ipv6, wishes } = record;
    const [ipv4Gateway, ipv6Gateway] = [gatewayOf(record, network, 4), gatewayOf(record, network, 6)];
    return {
      networkId: network.id,
      networkName: network.name,
      driver: network.driver,
      endpointId: record.id,
      ...(record.interface !== undefined && { interface: record.interface }),
      ...(record.mac !== undefined && { mac: record.mac }),
      ...(ipv4 !== undefined && { ipv4: ipv4.address, ipv4PrefixLength: ipv4.prefixLength }),
      ...(ipv4Gateway !== undefined && { ipv4Gateway }),
      ...(ipv6 !== undefined && { ipv6: ipv6.address, ipv6PrefixLength: ipv6.prefixLength }),
      ...(ipv6Gateway !== undefined && { ipv6Gateway }),
      names: wishes.names,
      gatewayPriority: wishes.gatewayPriority,
    };
  }
}

export const aloneOnNone =
  "container cannot be connected to multiple networks with one of the networks in private (none) mode";

/** @throws EngineError invalid_argument, as Docker words it. */
function refuseWithoutDevice(network: Network): void {
  if (network.configOnly) {
    const text = `configuration-only network ${network.name} cannot be attached to: it has no configuration of its own`;
    throw new EngineError("invalid_argument", text);
  }
  if (hasDevice(network.driver)) return;
  const text =
    network.driver === "host"
      ? "container cannot be connected to host network together with other networks"
      : aloneOnNone;
  throw new EngineError("invalid_argument", text);
}

function refuseFixed(network: Network, family: 4 | 6, address: string | undefined): void {
  if (address === undefined) return;
  const text = `no configured subnet of network ${network.name} contains IP address ${address}: it has no IPv${family}`;
  throw new EngineError("invalid_argument", text);
}

/** The name that was asked for, or the network's prefix with the lowest number that is free. */
function chooseName(network: Network, driverOptions: Record<string, string>, taken: readonly string[]): string {
  const wanted = endpointInterfaceName(driverOptions);
  if (wanted !== undefined) {
    if (!taken.includes(wanted) && wanted !== "lo") return wanted;
    throw new EngineError("conflict", `network ${network.name}: the container has an interface ${wanted} already`);
  }
  const prefix = interfacePrefix(network);
  for (let number = 0; ; number++) {
    if (!taken.includes(`${prefix}${number}`)) return `${prefix}${number}`;
  }
}

function refuseTaken(network: Network, what: string, holder: SandboxRecord | undefined): void {
  if (holder === undefined) return;
  const { containerId, containerName } = holder;
  const by = containerId === null ? "a container that has ended" : `container ${containerName || shortId(containerId)}`;
  throw new EngineError("conflict", `network ${network.name}: ${what} is already in use by ${by}`);
}

function deviceEndpoint(record: EndpointRecord): DeviceEndpoint {
  const { id, mac, wishes } = record;
  return {
    endpointId: id,
    interface: record.interface!,
    hostInterface: record.hostInterface!,
    ...(mac !== undefined && { mac }),
    options: wishes.driverOptions,
  };
}

function interfacePlan(record: EndpointRecord, network: Network): InterfacePlan {
  const { ipv4, ipv6, wishes } = record;
  const addresses = [ipv4, ipv6]
    .filter((each) => each !== undefined)
    .map(({ address, prefixLength }) => ({ address: parseAddress(address), prefixLength }));
  for (const text of wishes.linkLocal ?? []) {
    const address = parseAddress(text);
    // The link-local prefixes: 169.254.0.0/16 (RFC 3927) and fe80::/64 (RFC 4291); Docker lets any address be one.
    addresses.push({ address, prefixLength: address.family === 4 ? 16 : 64 });
  }
  return {
    interface: record.interface!,
    addresses,
    hasIpv6: network.enableIpv6,
    sysctls: endpointSysctls(wishes.driverOptions, record.interface!),
  };
}
