/** The bridge driver: an interface of tsd's own that containers' veths are ports of. */
import { randomBytes } from "node:crypto";
import { addAddress, type InterfaceAddress, listAddresses } from "../../../ffi/netlink/address.ts";
import {
  createBridge,
  createVeth,
  deleteLink,
  findLink,
  type Link,
  listLinks,
  macText,
  setBridgePort,
  setLink,
} from "../../../ffi/netlink/link.ts";
import type { Message } from "../../../ffi/netlink/message.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import { log } from "../../core/log.ts";
import { type Address, addressBytes, broadcastAddress, parseAddress, parseSubnet } from "../address.ts";
import type { OwnAddress } from "../existing-bridge.ts";
import { defaultMtu } from "../host.ts";
import { configureIpv6 } from "../interface-ipv6.ts";
import type { NetworkNamespace } from "../namespace.ts";
import type { Network } from "../network.ts";
import { AdoptedBridge } from "./adopted-bridge.ts";
import type { DeviceEndpoint, DriverContext, NetworkDevice } from "./driver.ts";
import { bridgeName, checkInterfaceName, isOwnBridgeName } from "./interface-name.ts";
import { type BridgeOptions, bridgeOptions, ipv6MtuMin } from "./options.ts";

export class BridgeDevice implements NetworkDevice {
  readonly device: string;
  readonly hasHostInterface = true;
  readonly ownMac = true;
  readonly routesWithoutGateway = false;
  readonly #network: Network;
  readonly #options: BridgeOptions;
  /** What the kernel keeps beside the interface (its alias) to tell whose it is. */
  readonly #owner: string;
  readonly #route: NetlinkSocket;
  /** Where the bridge is not tsd's own. */
  readonly #adopted: AdoptedBridge;
  #index: number | undefined;
  #mtu = 0;
  #isAdopted = false;

  constructor(network: Network, context: DriverContext) {
    this.device = checkInterfaceName(network.device ?? bridgeName(network.id));
    this.#network = network;
    this.#options = bridgeOptions(network);
    this.#owner = `tsd ${shortId(network.id)}`;
    this.#route = context.route;
    this.#adopted = new AdoptedBridge(network, this.device, context);
  }

  /**
   * The interface, if it is there: tsd's own, or one that a network can be put on.
   * @throws EngineError conflict when it is somebody else's, not_found for one that tsd has not made and does not make.
   */
  find(): Link | undefined {
    const link = findLink(this.#route, this.device);
    if (link !== undefined) {
      if (!this.#isOurs(link)) this.#adopted.check(link);
      return link;
    }
    if (!this.#adopted.isOnRecord()) return undefined;
    const text = `network ${this.#network.name}: bridge ${this.device}, which tsd did not make, is not there`;
    throw new EngineError("not_found", text, { path: this.device, hint: `ip link add ${this.device} type bridge` });
  }

  /** What it has of its own, where it is not tsd's. */
  existing(link: Link): readonly OwnAddress[] | undefined {
    return this.#isOurs(link) ? undefined : this.#adopted.ownAddresses(link);
  }

  #isOurs(link: Link): boolean {
    if (link.kind !== "bridge") return false;
    if (link.alias === this.#owner) return true;
    // One that a daemon with another database left behind: nobody's, once nothing hangs on it.
    const isTsds = link.alias?.startsWith("tsd ") === true && isOwnBridgeName(link.name);
    return isTsds && !listLinks(this.#route).some((port) => port.master === link.index);
  }

  ensure(): boolean {
    const link = this.find();
    // It may have stood on another bridge: the daemon was told of this one since.
    if (this.#index === undefined && !this.#adopted.isOnRecord()) this.#adopted.leave();
    if (link === undefined) this.#create();
    else if (!this.#isOurs(link)) return this.#take(link);
    else if (link.index !== this.#index || !link.up) this.#adoptBridge(link);
    return link === undefined;
  }

  #take(link: Link): boolean {
    if (link.index === this.#index && this.#adopted.isTaken(link)) return false;
    const isAnew = this.#adopted.take(link, this.#addresses(link.index));
    this.#isAdopted = true;
    this.#index = link.index;
    this.#mtu = this.#options.mtu ?? link.mtu;
    return isAnew;
  }

  #create(): void {
    const least = this.#network.enableIpv6 ? ipv6MtuMin : 0;
    const mtu = this.#options.mtu ?? Math.max(defaultMtu(this.#route), least);
    // Locally administered, not multicast. Fixed from the start: a bridge otherwise takes the lowest of its ports'.
    const random = randomBytes(5);
    const bridge = { name: this.device, address: macText(Uint8Array.from([0x02, ...random])), mtu };
    // One batch: of a daemon that is killed no bridge stays that nobody knows for its own.
    this.#route.execute(createBridge(bridge), setLink(0, { name: this.device, alias: this.#owner }, this.device));
    try {
      const { index } = findLink(this.#route, this.device)!;
      configureIpv6(this.device, this.#network.enableIpv6);
      this.#route.execute(setLink(index, { up: true }, this.device), ...this.#addresses(index).map(addAddress));
      this.#index = index;
      this.#mtu = mtu;
    } catch (error) {
      this.#route.execute(deleteLink(this.device));
      throw error;
    }
    const subnet = this.#network.subnets.map((each) => each.subnet).join(" ");
    log("info", "bridge made", { bridge: this.device, subnet, mtu });
  }

  #adoptBridge(link: Link): void {
    configureIpv6(this.device, this.#network.enableIpv6);
    if (!link.up || link.alias !== this.#owner) {
      this.#route.execute(setLink(link.index, { up: true, alias: this.#owner }, this.device));
    }
    const has = listAddresses(this.#route).filter((entry) => entry.interfaceIndex === link.index);
    const missing = this.#addresses(link.index).filter(
      ({ address }) => !has.some((entry) => Buffer.from(entry.address).equals(address)),
    );
    if (missing.length > 0) this.#route.execute(...missing.map(addAddress));
    this.#index = link.index;
    this.#mtu = link.mtu;
  }

  /** The gateways, which are the bridge's own addresses. */
  #addresses(interfaceIndex: number): InterfaceAddress[] {
    return this.#network.subnets.flatMap((entry) => {
      if (entry.gateway === undefined) return [];
      const subnet = parseSubnet(entry.subnet);
      if (subnet.family === 4 && this.#options.inhibitIpv4) return [];
      return {
        interfaceIndex,
        address: addressBytes(parseAddress(entry.gateway)),
        prefixLength: subnet.prefixLength,
        ...(subnet.family === 4 && { broadcast: addressBytes(broadcastAddress(subnet)) }),
        ...(subnet.family === 6 && { skipDetection: true }),
      };
    });
  }

  create(endpoint: DeviceEndpoint, namespace: NetworkNamespace): void {
    if (this.#index === undefined) throw new Error(`bridge ${this.device} is not ready`);
    const peer = { name: endpoint.interface, address: endpoint.mac!, namespaceFd: namespace.fd.number };
    const { hostInterface } = endpoint;
    // Higher than any hardware's: a bridge that was given no MAC address has the lowest of its ports'.
    const address = this.#isAdopted ? macText(Uint8Array.from([0xfe, ...randomBytes(5)])) : undefined;
    this.#route.execute(
      createVeth({ name: hostInterface, mtu: this.#mtu, master: this.#index, peer, ...(address && { address }) }),
    );
    // A port needs no addresses. Each that had one would make the kernel's list of link-local routes longer, which is
    // walked whenever an interface comes.
    configureIpv6(hostInterface, false);
    this.#route.execute(setLink(0, { up: true }, hostInterface), ...this.#isolation(hostInterface));
  }

  #isolation(veth: string): Message[] {
    return this.#options.interContainer ? [] : [setBridgePort(veth, { isolated: true })];
  }

  isConnected({ hostInterface }: DeviceEndpoint): boolean {
    const link = findLink(this.#route, hostInterface);
    return link !== undefined && link.master === this.#index && link.operational;
  }

  /** Makes an interface that is there a port again, after the bridge was made anew beneath it. */
  adopt({ hostInterface }: DeviceEndpoint): boolean {
    const link = findLink(this.#route, hostInterface);
    if (link === undefined || this.#index === undefined) return false;
    if (link.master === this.#index && link.up) return true;
    // A port that leaves loses what it was told.
    const enslave = setLink(link.index, { master: this.#index, up: true }, hostInterface);
    this.#route.execute(enslave, ...this.#isolation(hostInterface));
    return true;
  }

  /**
   * A container that asks for one of its own published ports at an address of the host's is answered by itself: where
   * br_netfilter is loaded the bridge turns the packet round at once, and lets it out where it came in only in this mode.
   */
  reflect({ hostInterface }: DeviceEndpoint): void {
    this.#route.execute(setBridgePort(hostInterface, { reflects: true }));
  }

  /**
   * Whether a port forwards, and the bridge with it, which has a carrier since its first port has. Both do so only
   * when the kernel's link watch has seen the carrier, which happens in the background, and late when other interfaces
   * are being taken down; the first ARP request or its answer would be dropped, and asked for again after a second.
   * Asking for one interface lets the kernel catch up first (since Linux 6.8).
   */
  isForwarding({ hostInterface }: DeviceEndpoint): boolean {
    const operational = (name: string): boolean => findLink(this.#route, name)?.operational === true;
    return operational(hostInterface) && operational(this.device);
  }

  isOnHost({ hostInterface }: Pick<DeviceEndpoint, "hostInterface">): boolean {
    return findLink(this.#route, hostInterface) !== undefined;
  }

  /** Deletes a veth, which takes the kernel some 20 ms. */
  remove({ hostInterface }: Pick<DeviceEndpoint, "hostInterface">): void {
    try {
      this.#route.execute(deleteLink(hostInterface));
    } catch (error) {
      if (!isErrno(error, "ENODEV")) throw error;
    }
  }

  hostAddresses(): Address[] {
    const link = this.#isAdopted ? findLink(this.#route, this.device) : undefined;
    return link === undefined ? [] : this.#adopted.hostAddresses(link);
  }

  tearDown(): void {
    this.#adopted.leave();
    const link = findLink(this.#route, this.device);
    if (link !== undefined && this.#isOurs(link)) this.#route.execute(deleteLink(this.device));
    this.#index = undefined;
  }

  [Symbol.dispose](): void {
    this.#index = undefined;
  }
}
