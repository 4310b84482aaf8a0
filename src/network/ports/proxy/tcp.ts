/** A listener of the host whose connections are passed on to a container. */
import {
  EPOLLIN,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SOL_SOCKET,
  SOL_TCP,
  TCP_NODELAY,
  TCP_SYNCNT,
} from "../../../../ffi/constants/socket.ts";
import { SyscallError } from "../../../../ffi/errno.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import type { SocketAddress } from "../../../../ffi/socket/address.ts";
import { accept, bind, connect, listen, resetOnClose, setOption, streamSocket } from "../../../../ffi/socket/socket.ts";
import { errorMessage, isErrno, isKernelError } from "../../../core/errors.ts";
import { log } from "../../../core/log.ts";
import type { EventLoop } from "../../companion/loop.ts";
import { type ClientAddresses, type ClientSocket, ClientView } from "./client-address.ts";
import { shownEndpoint, socketAddressOf } from "./endpoint.ts";
import type { PipePool } from "./pipes.ts";
import type { Endpoint, HostSocket, ShownClients } from "./protocol.ts";
import { Relay } from "./relay.ts";
import type { TcpPort, TcpPorts } from "./tcp-ports.ts";

const EMFILE = 24;
const backlog = 4096;
/** Connections that are taken in one turn. */
const acceptsMax = 64;
/** How long nobody is let in when this process has no descriptor or no memory left for it. */
const exhaustedMs = 100;
/** For how long that is not said again: a flood should not fill the disk with it. */
const quietMs = 60_000;
/** The kernel sends the first packet again after 1, 2 and 4 s: a container that does not answer is given up after 15. */
const connectRetries = 3;

/** A connection may come from where one has just ended, which the kernel tells of when it is too late to choose. */
const connectAttemptsMax = 3;

/** By all ports. */
export interface TcpShared {
  pipes: PipePool;
  ports: TcpPorts;
  clients: ClientAddresses;
}

/** A connection to the container. */
interface Towards {
  fd: Fd;
  /** It is under way. */
  connecting: boolean;
  release?: ClientSocket["release"];
}

export class TcpForwarder implements TcpPort {
  readonly #loop: EventLoop;
  readonly #pipes: PipePool;
  readonly #ports: TcpPorts;
  readonly #listener: Fd;
  readonly #token: number;
  readonly #shown: string;
  readonly #relays = new Set<Relay>();
  readonly #target: SocketAddress;
  readonly #view: ClientView;
  #quietUntil = 0;
  #closed = false;

  /** @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, … */
  constructor(loop: EventLoop, { pipes, ports, clients }: TcpShared, socket: HostSocket, target: Endpoint) {
    this.#loop = loop;
    this.#pipes = pipes;
    this.#ports = ports;
    this.#shown = shownEndpoint(socket);
    this.#target = socketAddressOf(target);
    this.#view = new ClientView(clients, IPPROTO_TCP, this.#target, socket.shownClients);
    const address = socketAddressOf(socket);
    using fd = streamSocket(address);
    // Connections that have ended lately do not stand in the way. What listens excludes all others nevertheless.
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    beQuickAndLook(fd);
    bind(fd, address);
    listen(fd, backlog);
    this.#token = loop.watch(fd, EPOLLIN, () => this.#accept());
    this.#listener = fd.move();
    ports.add(this);
  }

  get connections(): number {
    return this.#relays.size;
  }

  show(shown: ShownClients | undefined): void {
    this.#view.show(shown);
  }

  /** Ends the listener and all connections. */
  close(): void {
    this.#closed = true;
    this.#ports.delete(this);
    this.#loop.unwatch(this.#token);
    this.#listener.close();
    for (const relay of this.#relays) relay.abort();
  }

  #accept(): void {
    for (let count = 0; count < acceptsMax && !this.#closed; count++) {
      let client: Fd | undefined;
      try {
        const accepted = this.#withRoom(() => accept(this.#listener));
        if (accepted === undefined) return;
        client = accepted.fd;
        if (this.#ports.isLow(client) && !this.#ports.makeRoom(this)) throw new SyscallError("accept4", EMFILE);
        this.#forward(client, accepted.peer);
      } catch (error) {
        if (client !== undefined && !client.closed) {
          resetOnClose(client);
          client.close();
        }
        if (isErrno(error, "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")) {
          this.#rest(error);
          return;
        }
        // The container is not there, or refuses at once: the client has learnt it.
        if (!isKernelError(error)) throw error;
      }
    }
  }

  #forward(client: Fd, peer: SocketAddress): void {
    const { fd, connecting, release } = this.#connectAs(peer) ?? this.#connect(streamSocket);
    // It may end while it is made: the kernel may have no room to watch it.
    let relay: Relay | undefined;
    relay = new Relay(this.#loop, this.#pipes, { client: client.move(), target: fd, connecting }, (wasConnected) => {
      release?.(!wasConnected);
      if (relay !== undefined) this.#relays.delete(relay);
    });
    this.#relays.add(relay);
  }

  /** As the client, where the container may see it. */
  #connectAs(peer: SocketAddress): Towards | undefined {
    for (let attempt = 0; attempt < connectAttemptsMax; attempt++) {
      const socket = this.#withRoom(() => this.#view.open(peer));
      if (socket === undefined) return undefined;
      try {
        return { ...this.#connect(() => socket.fd), release: socket.release };
      } catch (error) {
        socket.release(true);
        if (!isErrno(error, "EADDRNOTAVAIL")) throw error;
      }
    }
    return undefined;
  }

  #connect(open: (target: SocketAddress) => Fd): Towards {
    using fd = this.#withRoom(() => open(this.#target));
    setOption(fd, SOL_TCP, TCP_SYNCNT, connectRetries);
    beQuickAndLook(fd);
    const connecting = !connect(fd, this.#target);
    return { fd: fd.move(), connecting };
  }

  #withRoom<T>(open: () => T): T {
    try {
      return open();
    } catch (error) {
      if (!isErrno(error, "EMFILE") || !this.#ports.makeRoom(this)) throw error;
      return open();
    }
  }

  giveUp(count: number): void {
    for (const relay of [...this.#relays].slice(-count)) relay.abort();
  }

  /** Those who wait stay in the kernel's queue. */
  #rest(error: unknown): void {
    if (performance.now() >= this.#quietUntil) {
      log("warn", "cannot take a connection now", { address: this.#shown, error: errorMessage(error) });
      this.#quietUntil = performance.now() + quietMs;
    }
    this.#loop.change(this.#token, 0);
    this.#loop.after(exhaustedMs, () => {
      if (!this.#closed) this.#loop.change(this.#token, EPOLLIN);
    });
  }
}

/**
 * Holds nothing back to wait for more, for whoever sends has decided that already, and looks whether the other end is
 * still there. A listener's connections have it of the listener.
 */
function beQuickAndLook(fd: Fd): void {
  setOption(fd, SOL_TCP, TCP_NODELAY, 1);
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}
