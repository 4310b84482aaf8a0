/** A listener of the host whose connections are passed on to a container. */
import {
  EPOLLIN,
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
import { shownEndpoint, socketAddressOf } from "./endpoint.ts";
import type { PipePool } from "./pipes.ts";
import type { Endpoint } from "./protocol.ts";
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

/** By all ports. */
export interface TcpShared {
  pipes: PipePool;
  ports: TcpPorts;
}

export class TcpForwarder implements TcpPort {
  readonly #loop: EventLoop;
  readonly #pipes: PipePool;
  readonly #ports: TcpPorts;
  readonly #listener: Fd;
  readonly #token: number;
  readonly #shown: string;
  readonly #relays = new Set<Relay>();
  #target: SocketAddress;
  #quietUntil = 0;
  #closed = false;

  /** @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, … */
  constructor(loop: EventLoop, { pipes, ports }: TcpShared, endpoint: Endpoint, target: Endpoint) {
    this.#loop = loop;
    this.#pipes = pipes;
    this.#ports = ports;
    this.#shown = shownEndpoint(endpoint);
    this.#target = socketAddressOf(target);
    const address = socketAddressOf(endpoint);
    using fd = streamSocket(address);
    // Connections that have ended lately do not stand in the way. What listens excludes all others nevertheless.
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(fd, address);
    listen(fd, backlog);
    this.#token = loop.watch(fd, EPOLLIN, () => this.#accept());
    this.#listener = fd.move();
    ports.add(this);
  }

  get connections(): number {
    return this.#relays.size;
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
        client = this.#withRoom(() => accept(this.#listener)?.fd);
        if (client === undefined) return;
        if (this.#ports.isLow(client) && !this.#ports.makeRoom(this)) throw new SyscallError("accept4", EMFILE);
        this.#forward(client);
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

  #forward(client: Fd): void {
    using target = this.#withRoom(() => streamSocket(this.#target));
    setOption(target, SOL_TCP, TCP_SYNCNT, connectRetries);
    for (const fd of [client, target]) {
      // Nothing is held back to wait for more: whoever sends has decided that already.
      setOption(fd, SOL_TCP, TCP_NODELAY, 1);
      setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    }
    const connecting = !connect(target, this.#target);
    const connections = { client: client.move(), target: target.move(), connecting };
    const relay: Relay = new Relay(this.#loop, this.#pipes, connections, () => this.#relays.delete(relay));
    this.#relays.add(relay);
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
