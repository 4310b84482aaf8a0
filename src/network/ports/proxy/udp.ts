/**
 * A UDP socket of the host whose datagrams are passed on to a container. Each client has a socket of its own towards the
 * container, so that an answer finds its way back, by the address that the client had asked.
 */
import {
  EPOLLIN,
  IPPROTO_UDP,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOL_SOCKET,
} from "../../../../ffi/constants/socket.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import { decodeSocketAddress, type SocketAddress } from "../../../../ffi/socket/address.ts";
import { DatagramBuffer, type LocalEnd, tellDestinations } from "../../../../ffi/socket/datagram.ts";
import { bind, connect, datagramSocket, setOption } from "../../../../ffi/socket/socket.ts";
import { isErrno, isKernelError } from "../../../core/errors.ts";
import type { EventLoop } from "../../companion/loop.ts";
import { type ClientAddresses, type ClientSocket, ClientView } from "./client-address.ts";
import { socketAddressOf } from "./endpoint.ts";
import type { Endpoint, HostSocket, ShownClients } from "./protocol.ts";

/** A client that neither sends nor gets anything for so long is forgotten. */
export const idleMs = 90_000;
const sweepMs = 5_000;
/**
 * Connection tracking forgets UDP after 30 s of silence (nf_conntrack_udp_timeout), and what it translates with it: by
 * then it is told to remember it as long as the client is.
 */
const prolongMs = 10_000;
/**
 * Of all ports together. Beyond it one of the port that has the most goes: the one that was silent longest, those first
 * that were never answered. So no port's clients, however many and whether they are answered, are in another's way.
 */
export const sessionsMax = 8_192;
/** A port with more clients that were never answered is flooded from invented addresses: those go before all others. */
const floodMin = sessionsMax / 8;
/** Datagrams of one turn: then others get theirs. */
const turnMax = 64;
/** What may wait for this process, in bytes: all ports share the thread that takes it. */
const listenerBufferBytes = 4 * 1024 * 1024;

interface Session {
  readonly key: string;
  readonly forwarder: UdpForwarder;
  readonly fd: Fd;
  readonly token: number;
  /** Of the client: a sockaddr. */
  readonly client: Uint8Array;
  /** What the client has sent to. */
  readonly asked: LocalEnd | undefined;
  lastMs: number;
  answered: boolean;
  /** What `fd` was; absent where the kernel chose where it comes from. */
  readonly socket: ClientSocket | undefined;
  /** The flow outlasts this silence. */
  prolonged: boolean;
}

/** Of one port: the one that was silent longest comes first. */
interface Queues {
  unanswered: Set<Session>;
  answered: Set<Session>;
}

/** The sessions of all ports, and the buffer that all datagrams go through. */
export class UdpSessions {
  readonly buffer = new DatagramBuffer();
  readonly clients: ClientAddresses;
  readonly #ports = new Map<UdpForwarder, Queues>();
  readonly #loop: EventLoop;
  #size = 0;
  #sweeping = false;

  constructor(loop: EventLoop, clients: ClientAddresses) {
    this.#loop = loop;
    this.clients = clients;
  }

  get size(): number {
    return this.#size;
  }

  /** Makes room for one more, if need be. */
  add(session: Session): void {
    if (this.#size >= sessionsMax) this.#makeRoom();
    const { forwarder } = session;
    const queues = this.#ports.get(forwarder) ?? { unanswered: new Set(), answered: new Set() };
    this.#ports.set(forwarder, queues);
    queues.unanswered.add(session);
    this.#size++;
    this.#sweepLater();
  }

  touch(session: Session, answered: boolean): void {
    session.lastMs = performance.now();
    session.prolonged = false;
    const queues = this.#ports.get(session.forwarder)!;
    queues.unanswered.delete(session);
    queues.answered.delete(session);
    session.answered ||= answered;
    (session.answered ? queues.answered : queues.unanswered).add(session);
  }

  delete(session: Session): void {
    const { forwarder } = session;
    const queues = this.#ports.get(forwarder);
    if (queues === undefined || !(queues.unanswered.delete(session) || queues.answered.delete(session))) return;
    this.#size--;
    if (queues.unanswered.size + queues.answered.size === 0) this.#ports.delete(forwarder);
  }

  #makeRoom(): void {
    const all = [...this.#ports.values()];
    const flooded = mostOf(all, ({ unanswered }) => unanswered.size);
    const largest = mostOf(all, ({ unanswered, answered }) => unanswered.size + answered.size);
    const { unanswered, answered } = flooded.unanswered.size > floodMin ? flooded : largest;
    const [oldest] = unanswered.size > 0 ? unanswered : answered;
    oldest?.forwarder.end(oldest);
  }

  #sweepLater(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    this.#loop.after(sweepMs, () => {
      this.#sweeping = false;
      const now = performance.now();
      for (const sessions of [...this.#ports.values()].flatMap((queues) => [queues.unanswered, queues.answered])) {
        for (const session of sessions) {
          const silentMs = now - session.lastMs;
          if (silentMs <= prolongMs) break;
          if (silentMs > idleMs) session.forwarder.end(session);
          else prolong(session, idleMs + sweepMs - silentMs);
        }
      }
      if (this.size > 0) this.#sweepLater();
    });
  }
}

function prolong(session: Session, ms: number): void {
  if (session.prolonged) return;
  session.prolonged = true;
  session.socket?.prolong(Math.ceil(ms / 1_000));
}

function mostOf(all: readonly Queues[], count: (queues: Queues) => number): Queues {
  return all.reduce((most, each) => (count(each) > count(most) ? each : most));
}

export class UdpForwarder {
  readonly #loop: EventLoop;
  readonly #all: UdpSessions;
  readonly #listener: Fd;
  readonly #token: number;
  readonly #target: SocketAddress;
  readonly #view: ClientView;
  readonly #sessions = new Map<string, Session>();

  /** @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, … */
  constructor(loop: EventLoop, all: UdpSessions, socket: HostSocket, target: Endpoint) {
    this.#loop = loop;
    this.#all = all;
    this.#target = socketAddressOf(target);
    this.#view = new ClientView(all.clients, IPPROTO_UDP, this.#target, socket.shownClients);
    const address = socketAddressOf(socket);
    using fd = datagramSocket(address);
    tellDestinations(fd, address.address.length === 16);
    setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    bind(fd, address);
    this.#token = loop.watch(fd, EPOLLIN, () => this.#fromClients());
    this.#listener = fd.move();
  }

  /** Clients that are remembered. */
  get connections(): number {
    return this.#sessions.size;
  }

  show(shown: ShownClients | undefined): void {
    this.#view.show(shown);
  }

  close(): void {
    this.#loop.unwatch(this.#token);
    for (const session of this.#sessions.values()) this.end(session);
    this.#listener.close();
  }

  end(session: Session): void {
    this.#sessions.delete(session.key);
    this.#all.delete(session);
    this.#loop.unwatch(session.token);
    session.fd.close();
    session.socket?.release(true);
  }

  #fromClients(): void {
    const { buffer } = this.#all;
    for (let count = 0; count < turnMax; count++) {
      if (!received(() => buffer.receive(this.#listener))) return;
      const session = this.#sessionOf(buffer.source, buffer.destination);
      if (session === undefined) continue;
      this.#all.touch(session, false);
      // What the container refused before is told here, in place of sending: once more, then.
      if (!sent(() => buffer.send(session.fd, buffer.data, null))) {
        sent(() => buffer.send(session.fd, buffer.data, null));
      }
    }
  }

  #fromContainer(session: Session): void {
    const { buffer } = this.#all;
    for (let count = 0; count < turnMax; count++) {
      if (!received(() => buffer.receive(session.fd))) return;
      this.#all.touch(session, true);
      sent(() => buffer.send(this.#listener, buffer.data, session.client, session.asked));
    }
  }

  /** @returns undefined where the container has no way to it, or this process no descriptor left: the datagram is lost. */
  #sessionOf(source: Uint8Array, asked: LocalEnd | undefined): Session | undefined {
    const key = `${source.toHex()} ${asked?.address.toHex() ?? ""}`;
    const known = this.#sessions.get(key);
    if (known !== undefined) return known;
    let socket: ClientSocket | undefined;
    try {
      socket = this.#view.open(decodeSocketAddress(source));
      using fd = socket?.fd ?? datagramSocket(this.#target);
      connect(fd, this.#target);
      const token = this.#loop.watch(fd, EPOLLIN, () => this.#fromContainer(session));
      const session: Session = {
        key,
        forwarder: this,
        fd: fd.move(),
        token,
        client: source.slice(),
        asked,
        lastMs: performance.now(),
        answered: false,
        socket,
        prolonged: false,
      };
      this.#sessions.set(key, session);
      this.#all.add(session);
      return session;
    } catch (error) {
      socket?.release(true);
      if (!isKernelError(error)) throw error;
      return undefined;
    }
  }
}

/** Without CAP_NET_ADMIN it is as large as the host lets it be. */
function setBuffer(fd: Fd, forced: number, allowed: number): void {
  try {
    setOption(fd, SOL_SOCKET, forced, listenerBufferBytes);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    setOption(fd, SOL_SOCKET, allowed, listenerBufferBytes);
  }
}

/** An error that a socket reports is that of a datagram before (ICMP), and told once: the next one may do better. */
function received(receive: () => boolean): boolean {
  for (let attempt = 0; attempt < turnMax; attempt++) {
    try {
      return receive();
    } catch (error) {
      if (!isKernelError(error)) throw error;
    }
  }
  return false;
}

function sent(send: () => boolean): boolean {
  try {
    return send();
  } catch (error) {
    if (!isKernelError(error)) throw error;
    return false;
  }
}
