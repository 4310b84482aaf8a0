/** The bridge driver: an interface of tsd's own that containers' veths are ports of, and the table that goes with it. */
import { randomBytes } from "node:crypto";
import { addAddress, type InterfaceAddress, listAddresses } from "../../ffi/netlink/address.ts";
import {
  createBridge,
  createVeth,
  deleteLink,
  findLink,
  interfaceNameLengthMax,
  type Link,
  listLinks,
  macText,
  setLink,
} from "../../ffi/netlink/link.ts";
import { readGeneration } from "../../ffi/netlink/nftables/ruleset.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { shortId } from "../core/id.ts";
import { log } from "../core/log.ts";
import { addressBytes, broadcastAddress, formatSubnet } from "./address.ts";
import type { BridgeAddressing } from "./addressing.ts";
import { bridgeTable } from "./firewall.ts";
import { type Blocker, closeDockerUser, passForeignFirewalls } from "./foreign-firewall.ts";
import { defaultMtu } from "./host.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { applyTable, removeTable } from "./table.ts";

/** @throws EngineError invalid_argument for what the kernel takes for no interface name. */
export function checkInterfaceName(name: string): string {
  if (/^[^\s/:%]+$/.test(name) && Buffer.byteLength(name) <= interfaceNameLengthMax && name !== "." && name !== "..") {
    return name;
  }
  const text = `${JSON.stringify(name)} is no name for an interface: 1 to ${interfaceNameLengthMax} bytes, no space, "/", ":" or "%"`;
  throw new EngineError("invalid_argument", text);
}

export class Bridge implements Disposable {
  readonly name: string;
  /** What the kernel keeps beside the interface (its alias) to tell whose it is. */
  readonly #owner: string;
  readonly #route: NetlinkSocket;
  readonly #netfilter: NetlinkSocket;
  #index: number | undefined;
  #mtu = 0;
  /** The generation of all tables when they were last looked at. */
  #generation: number | undefined;
  #blockers: Blocker[] = [];

  constructor(name: string, networkId: string) {
    this.name = checkInterfaceName(name);
    this.#owner = `tsd ${shortId(networkId)}`;
    this.#route = new NetlinkSocket(NETLINK_ROUTE);
    this.#netfilter = new NetlinkSocket(NETLINK_NETFILTER);
  }

  get route(): NetlinkSocket {
    return this.#route;
  }

  /** What of others' firewalls will drop containers' packets, as of the last look. */
  get blockers(): readonly Blocker[] {
    return this.#blockers;
  }

  /** The interface, if it is there. @throws EngineError conflict when it is somebody else's. */
  find(): Link | undefined {
    const link = findLink(this.#route, this.name);
    if (link === undefined || this.#isOurs(link)) return link;
    throw new EngineError("conflict", `interface ${this.name} is there already, and is not this daemon's`, {
      path: this.name,
      hint: `choose another name with --bridge, or remove it: ip link delete ${this.name}`,
    });
  }

  #isOurs(link: Link): boolean {
    if (link.kind !== "bridge") return false;
    if (link.alias === this.#owner) return true;
    // One that a daemon with another database left behind: nobody's, once nothing hangs on it.
    const isTsds = link.alias?.startsWith("tsd ") === true;
    return isTsds && !listLinks(this.#route).some((port) => port.master === link.index);
  }

  /**
   * Makes sure of the interface, its address and its table. Each is made when missing and left alone when right, also
   * under live containers.
   * @throws EngineError conflict, NetlinkError; nothing is left of an interface that could not be finished.
   */
  ensure(addressing: BridgeAddressing): void {
    const link = this.find();
    if (link === undefined) this.#create(addressing);
    else this.#adopt(link, addressing);
    this.#generation = undefined;
    this.checkTables(addressing);
  }

  #create(addressing: BridgeAddressing): void {
    const mtu = defaultMtu(this.#route);
    // Locally administered, not multicast. Fixed from the start: a bridge otherwise takes the lowest of its ports'.
    const random = randomBytes(5);
    this.#route.execute(createBridge({ name: this.name, address: macText(Uint8Array.from([0x02, ...random])), mtu }));
    try {
      const { index } = findLink(this.#route, this.name)!;
      this.#route.execute(
        setLink(index, { up: true, alias: this.#owner }, this.name),
        addAddress(gatewayAddress(index, addressing)),
      );
      this.#index = index;
      this.#mtu = mtu;
    } catch (error) {
      this.#route.execute(deleteLink(this.name));
      throw error;
    }
    log("info", "bridge made", { bridge: this.name, subnet: formatSubnet(addressing.subnet), mtu });
  }

  #adopt(link: Link, addressing: BridgeAddressing): void {
    const wanted = gatewayAddress(link.index, addressing);
    const has = listAddresses(this.#route).some(
      (entry) => entry.interfaceIndex === link.index && Buffer.from(entry.address).equals(wanted.address),
    );
    if (!link.up || link.alias !== this.#owner) {
      this.#route.execute(setLink(link.index, { up: true, alias: this.#owner }, this.name));
    }
    if (!has) this.#route.execute(addAddress(wanted));
    this.#index = link.index;
    this.#mtu = link.mtu;
  }

  /**
   * Puts the table back when it was changed or flushed, and looks at others' firewalls again. Costs one question to
   * the kernel when nobody changed any table since the last time.
   */
  checkTables(addressing: BridgeAddressing): void {
    if (this.#generation !== undefined && readGeneration(this.#netfilter) === this.#generation) return;
    const changed = applyTable(this.#netfilter, bridgeTable({ bridge: this.name, subnets: [addressing.subnet] }));
    if (changed && this.#generation !== undefined)
      log("warn", "firewall table was changed and put back", { table: this.name });
    const before = JSON.stringify(this.#blockers);
    this.#blockers = passForeignFirewalls(this.#netfilter, this.name);
    if (JSON.stringify(this.#blockers) !== before) {
      for (const { where, why, hint } of this.#blockers)
        log("warn", `${where} drops containers' packets: ${why}`, { hint });
    }
    this.#generation = readGeneration(this.#netfilter);
  }

  /**
   * A veth between the bridge and a namespace, down there.
   * @throws NetlinkError; when the bridge is gone (ENODEV) the caller makes sure of it and tries again.
   */
  connect(veth: { name: string; interface: string; mac: string }, namespace: NetworkNamespace): void {
    if (this.#index === undefined) throw new Error(`bridge ${this.name} is not ready`);
    const peer = { name: veth.interface, address: veth.mac, namespaceFd: namespace.fd.number };
    this.#route.execute(createVeth({ name: veth.name, mtu: this.#mtu, master: this.#index, peer }));
  }

  /** Whether an interface is there, a port of this bridge, and one that forwards. */
  isConnected(veth: string): boolean {
    const link = findLink(this.#route, veth);
    return link !== undefined && link.master === this.#index && link.operational;
  }

  /**
   * Whether a port forwards, and the bridge with it, which has a carrier since its first port has. Both do so only
   * when the kernel's link watch has seen the carrier, which happens in the background, and late when other interfaces
   * are being taken down; the first ARP request or its answer would be dropped, and asked for again after a second.
   * Asking for one interface lets the kernel catch up first (since Linux 6.8).
   */
  isForwarding(veth: string): boolean {
    const operational = (name: string): boolean => findLink(this.#route, name)?.operational === true;
    return operational(veth) && operational(this.name);
  }

  /** Makes an interface that is there a port again, after the bridge was made anew beneath it. */
  reconnect(veth: string): boolean {
    const link = findLink(this.#route, veth);
    if (link === undefined || this.#index === undefined) return false;
    if (link.master === this.#index && link.up) return true;
    this.#route.execute(setLink(link.index, { master: this.#index, up: true }, veth));
    return true;
  }

  exists(veth: string): boolean {
    return findLink(this.#route, veth) !== undefined;
  }

  /** Deletes a veth, which takes the kernel some 20 ms; one that is not there is no error. */
  remove(veth: string): void {
    try {
      this.#route.execute(deleteLink(veth));
    } catch (error) {
      if (!isErrno(error, "ENODEV")) throw error;
    }
  }

  /** Takes the interface, the table and the rules in others' chains away. Nothing may be connected. */
  tearDown(): void {
    closeDockerUser(this.#netfilter, this.name);
    removeTable(this.#netfilter, { family: "inet", table: this.name });
    const link = findLink(this.#route, this.name);
    if (link !== undefined && this.#isOurs(link)) this.#route.execute(deleteLink(this.name));
    this.#index = undefined;
    this.#generation = undefined;
  }

  [Symbol.dispose](): void {
    this.#route.close();
    this.#netfilter.close();
  }
}

function gatewayAddress(interfaceIndex: number, { subnet, gateway }: BridgeAddressing): InterfaceAddress {
  return {
    interfaceIndex,
    address: addressBytes(gateway),
    prefixLength: subnet.prefixLength,
    ...(subnet.family === 4 && { broadcast: addressBytes(broadcastAddress(subnet)) }),
  };
}
