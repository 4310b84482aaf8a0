/**
 * Lets a container see the client's address, though it is this process that connects to it.
 *
 * The connection is made from an address of the host's. Connection tracking is told beforehand that it will leave with
 * the client's as its source: what a rule of source NAT would do, if there could be one for each connection. The answers
 * find back as those of every translated flow do. So there is nothing in the host's routing to be made, kept and removed
 * (IP_TRANSPARENT, ip(7), needs a rule and a table by which packets for a foreign address are taken in, and a mark for
 * them); no mark, rp_filter or rule of somebody else's can be in the way; and where flows are not tracked or translated,
 * the connection is none the worse: the container sees the gateway.
 */
import { readFileSync } from "node:fs";
import { IPPROTO_TCP, SO_REUSEADDR, SOL_SOCKET, SOL_TCP, TCP_KEEPIDLE } from "../../../../ffi/constants/socket.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import {
  deleteFlows,
  FlowTemplate,
  forgetFlow,
  listFlows,
  prolongFlow,
  type Tuple,
} from "../../../../ffi/netlink/conntrack.ts";
import { NetlinkError } from "../../../../ffi/netlink/error.ts";
import type { Message } from "../../../../ffi/netlink/message.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../../../ffi/netlink/socket.ts";
import type { SocketAddress } from "../../../../ffi/socket/address.ts";
import { bind, connect, datagramSocket, localAddress, setOption, streamSocket } from "../../../../ffi/socket/socket.ts";
import { isErrno, isKernelError } from "../../../core/errors.ts";
import { addressBytes, parseAddress, parseSubnet } from "../../../core/ip-address.ts";
import { log } from "../../../core/log.ts";
import { type PortRange, readEphemeralRange } from "../allocation.ts";
import type { Endpoint, ShownClients } from "./protocol.ts";

const EEXIST = 17;
/** How long the kernel waits for a first packet, which comes at once. */
const firstPacketS = 10;
/** Ports that others may have, one after the other. */
const bindAttemptsMax = 16;
/** net.ipv4.tcp_keepalive_time as it is by default: idle connections are looked at after two hours. */
const keepAliveS = 7_200;

/** Addresses that mean nothing to others than this host, or to no single one. */
const unroutable: readonly Prefix[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "224.0.0.0/3",
  "::/127",
  "::ffff:0:0/96",
  "fe80::/10",
  "ff00::/8",
].map(parsePrefix);

/** A socket that is to be connected to the target. */
export interface ClientSocket {
  fd: Fd;
  /**
   * Says that what it was connected by has ended.
   * @param isOver nothing of it is under way any more, as with a connection that is being closed.
   */
  release(isOver: boolean): void;
  /** The flow is to last so long from now, in seconds, though nothing comes: UDP's are forgotten soon. */
  prolong(seconds: number): void;
}

/** How a flow to one target is told of: with the client's port, and with any. */
interface Templates {
  exact: FlowTemplate;
  address: FlowTemplate;
}

/** What all ports share: the way to the kernel, and the host's ports that connections come from. */
export class ClientAddresses {
  /** By target: connections to different ones may have the same port. */
  readonly #inUse = new Map<string, Set<number>>();
  #socket: NetlinkSocket | undefined;
  #range: PortRange | undefined;
  #keepIdleS: number | undefined;
  #lastPort = 0;
  #warned = "";

  /** @returns false when the kernel refuses, which is said once as long as the reason is the same. @throws SyscallError EMFILE */
  create({ exact, address }: Templates, original: Tuple, client: SocketAddress): boolean {
    try {
      const flow = exact.flow(original.sourcePort!, client);
      let refusal = this.#ask(flow);
      // Of one that has ended: this socket has the port now.
      if (refusal === EEXIST && this.#ask(forgetFlow(original)) === 0) refusal = this.#ask(flow);
      // The client is there already, by another port of the host's: it is shown with another port of its own.
      if (refusal === EEXIST) refusal = this.#ask(address.flow(original.sourcePort!, client));
      if (refusal !== 0) this.#warn(new NetlinkError(flow.subject, refusal));
      return refusal === 0;
    } catch (error) {
      if (!isKernelError(error) || isErrno(error, "EMFILE", "ENFILE")) throw error;
      this.#warn(error);
      return false;
    }
  }

  /** There is no such flow afterwards: what it would be translated to was another client. @throws SyscallError EMFILE */
  forget(original: Tuple): void {
    try {
      this.#ask(forgetFlow(original));
    } catch (error) {
      // Where nobody can be asked nobody was told either.
      if (!isKernelError(error) || isErrno(error, "EMFILE", "ENFILE")) throw error;
    }
  }

  /**
   * Ends the flows that a proxy before this one told of, and cannot end any more: whoever gets one of its ports would be
   * taken for its clients.
   * @throws NetlinkError
   */
  forgetPredecessors(targets: readonly Endpoint[]): void {
    const names = new Set(targets.map(({ address, port }) => `${addressBytes(parseAddress(address)).join()} ${port}`));
    if (names.size === 0) return;
    this.#socket ??= new NetlinkSocket(NETLINK_NETFILTER);
    for (const family of [4, 6] as const) {
      const flows = listFlows(this.#socket, { family }).filter(({ original, reply }) => {
        if (!names.has(`${original.destination.join()} ${original.destinationPort}`)) return false;
        return equal(reply.source, original.destination) && !equal(reply.destination, original.source);
      });
      deleteFlows(this.#socket, flows);
    }
  }

  prolong(original: Tuple, seconds: number): void {
    this.#ask(prolongFlow(original, seconds));
  }

  /** @returns 0, or an errno. */
  #ask(message: Message): number {
    this.#socket ??= new NetlinkSocket(NETLINK_NETFILTER);
    return this.#socket.try(message);
  }

  #warn(error: Error): void {
    const reason = error instanceof NetlinkError ? error.errno : error.message;
    if (reason === this.#warned) return;
    this.#warned = reason;
    log("warn", "containers see their gateway in place of clients of socket ports", { error: error.message });
  }

  /**
   * A port of the range for ephemeral ones that no connection to that target has. Whoever takes it gives it back.
   * @param preferred taken where it is such a port.
   */
  takePort(target: string, preferred: number | undefined): number | undefined {
    this.#range ??= readEphemeralRange();
    const { first, last } = this.#range;
    const inUse = this.#inUse.get(target) ?? new Set();
    if (inUse.size > last - first) return undefined;
    this.#inUse.set(target, inUse);
    if (preferred !== undefined && preferred >= first && preferred <= last && !inUse.has(preferred)) {
      inUse.add(preferred);
      return preferred;
    }
    do this.#lastPort = this.#lastPort >= first && this.#lastPort < last ? this.#lastPort + 1 : first;
    while (inUse.has(this.#lastPort));
    inUse.add(this.#lastPort);
    return this.#lastPort;
  }

  givePortBack(target: string, port: number): void {
    const inUse = this.#inUse.get(target);
    inUse?.delete(port);
    if (inUse?.size === 0) this.#inUse.delete(target);
  }

  /**
   * When an idle connection is to be looked at, in seconds, where connection tracking would forget it before the kernel
   * looks: without its translation it could not go on.
   */
  get keepIdleS(): number | undefined {
    if (this.#keepIdleS === undefined) {
      const trackedS = readSetting("nf_conntrack_tcp_timeout_established") ?? Number.POSITIVE_INFINITY;
      this.#keepIdleS = Math.max(1, Math.min(keepAliveS, Math.floor(trackedS / 2)));
    }
    return this.#keepIdleS < keepAliveS ? this.#keepIdleS : undefined;
  }
}

/** For one port: to its target, from the addresses of its clients. */
export class ClientView {
  readonly #all: ClientAddresses;
  readonly #protocol: number;
  readonly #target: SocketAddress;
  readonly #targetName: string;
  #hidden: Prefix[] | undefined;
  /** The host's address towards the target. */
  #source: Uint8Array | undefined;
  /** From there. */
  #templates: Templates | undefined;

  /** @param protocol IANA's number. @param shown absent: none is. */
  constructor(all: ClientAddresses, protocol: number, target: SocketAddress, shown: ShownClients | undefined) {
    this.#all = all;
    this.#protocol = protocol;
    this.#target = target;
    this.#targetName = `${target.address.join()} ${target.port}`;
    this.show(shown);
  }

  /** Of the connections that are to come. */
  show(shown: ShownClients | undefined): void {
    this.#hidden = shown && [...unroutable, ...shown.except.map(parsePrefix)];
  }

  /**
   * A socket by which the container sees that client where it can, and else the gateway; undefined where the kernel is to
   * choose where it comes from.
   * @throws SyscallError EMFILE
   */
  open(client: SocketAddress): ClientSocket | undefined {
    const source = this.#sourceAddress();
    if (source === undefined) return undefined;
    const shown = this.#mayShow(client) ? client : undefined;
    return this.#protocol === IPPROTO_TCP ? this.#openTcp(source, shown) : this.#openUdp(source, shown);
  }

  #mayShow({ address }: SocketAddress): boolean {
    if (this.#hidden === undefined || address.length !== this.#target.address.length) return false;
    return !this.#hidden.some((prefix) => isWithin(address, prefix));
  }

  /**
   * From a port of this process's choice, that connections to other targets may have too, as those that the kernel
   * chooses a port for when they are connected: by then it is too late to tell of the flow.
   */
  #openTcp(source: Uint8Array, shown: SocketAddress | undefined): ClientSocket | undefined {
    using fd = streamSocket(this.#target);
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    const { keepIdleS } = this.#all;
    if (shown !== undefined && keepIdleS !== undefined) setOption(fd, SOL_TCP, TCP_KEEPIDLE, keepIdleS);
    for (let attempt = 0; attempt < bindAttemptsMax; attempt++) {
      // The client's own, where it can be: a client that comes again from there does so with a later sequence number, by
      // which a container that remembers it (TIME_WAIT) knows that it is new. Else it would be seen as the gateway.
      const port = this.#all.takePort(this.#targetName, attempt === 0 ? shown?.port : undefined);
      if (port === undefined) return undefined;
      const giveBack = (): void => this.#all.givePortBack(this.#targetName, port);
      const outcome = this.#bind(fd, source, port);
      if (outcome === "bound") return this.#announced(fd, { source, port }, shown, giveBack);
      giveBack();
      if (outcome === "refused") return undefined;
    }
    return undefined;
  }

  #openUdp(source: Uint8Array, shown: SocketAddress | undefined): ClientSocket | undefined {
    using fd = datagramSocket(this.#target);
    if (this.#bind(fd, source, 0) !== "bound") return undefined;
    const { port } = localAddress(fd);
    return this.#announced(fd, { source, port }, shown, () => undefined);
  }

  /** Tells of a flow that is to be translated; one that is not begins as if there had been none before. */
  #announced(
    fd: Fd,
    { source, port }: { source: Uint8Array; port: number },
    shown: SocketAddress | undefined,
    giveBack: () => void,
  ): ClientSocket {
    const original = this.#flowFrom(source, port);
    const forget = (): void => this.#all.forget(original);
    try {
      const isShown = shown !== undefined && this.#all.create(this.#templatesFrom(source), original, shown);
      if (shown === undefined) forget();
      return {
        fd: fd.move(),
        release: (isOver) => {
          giveBack();
          if (isShown && isOver) forget();
        },
        prolong: (seconds) => {
          if (isShown) this.#all.prolong(original, seconds);
        },
      };
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  #templatesFrom(source: Uint8Array): Templates {
    if (this.#templates === undefined) {
      const { address: destination, port: destinationPort } = this.#target;
      const path = { source, destination, protocol: this.#protocol, destinationPort, timeoutS: firstPacketS };
      this.#templates = { exact: new FlowTemplate(path, true), address: new FlowTemplate(path, false) };
    }
    return this.#templates;
  }

  #flowFrom(source: Uint8Array, sourcePort: number): Tuple {
    const { address: destination, port: destinationPort } = this.#target;
    return { source, destination, protocol: this.#protocol, sourcePort, destinationPort };
  }

  #bind(fd: Fd, address: Uint8Array, port: number): "bound" | "taken" | "refused" {
    try {
      bind(fd, { address, port });
      return "bound";
    } catch (error) {
      if (!isKernelError(error)) throw error;
      if (isErrno(error, "EADDRINUSE")) return "taken";
      // The host has another one now, which is asked for with the next client.
      this.#source = undefined;
      this.#templates = undefined;
      return "refused";
    }
  }

  /** Undefined where there is no way to the target. Nothing is sent to what a socket of UDP is connected to. */
  #sourceAddress(): Uint8Array | undefined {
    if (this.#source !== undefined) return this.#source;
    using fd = datagramSocket(this.#target);
    try {
      connect(fd, this.#target);
    } catch (error) {
      if (!isKernelError(error)) throw error;
      return undefined;
    }
    this.#source = localAddress(fd).address;
    return this.#source;
  }
}

/** The first bits of an address. Compared byte by byte, for it is done with each connection. */
interface Prefix {
  bytes: Uint8Array;
  length: number;
}

function parsePrefix(text: string): Prefix {
  const { family, base, prefixLength } = parseSubnet(text);
  return { bytes: addressBytes({ family, value: base }), length: prefixLength };
}

function isWithin(address: Uint8Array, { bytes, length }: Prefix): boolean {
  if (address.length !== bytes.length) return false;
  const whole = length >> 3;
  for (let at = 0; at < whole; at++) if (address[at] !== bytes[at]) return false;
  const rest = length & 7;
  return rest === 0 || (address[whole]! ^ bytes[whole]!) >> (8 - rest) === 0;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function readSetting(name: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/net/netfilter/${name}`, "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
