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

const backlog = 4096;
/** Connections that are taken in one turn. */
const acceptsMax = 64;
/** How long nobody is let in when this process has no descriptor or no memory left for it. */
const exhaustedMs = 100;
/** The kernel sends the first packet again after 1, 2 and 4 s: a container that does not answer is given up after 15. */
const connectRetries = 3;

export class TcpForwarder {
  readonly #loop: EventLoop;
  readonly #pipes: PipePool;
  readonly #listener: Fd;
  readonly #token: number;
  readonly #shown: string;
  readonly #relays = new Set<Relay>();
  #target: SocketAddress;
  #closed = false;

  /** @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, … */
  constructor(loop: EventLoop, pipes: PipePool, endpoint: Endpoint, target: Endpoint) {
    this.#loop = loop;
    this.#pipes = pipes;
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
  }

  get connections(): number {
    return this.#relays.size;
  }

  /** Ends the listener and all connections. */
  close(): void {
    this.#closed = true;
    this.#loop.unwatch(this.#token);
    this.#listener.close();
    for (const relay of this.#relays) relay.abort();
  }

  #accept(): void {
    for (let count = 0; count < acceptsMax && !this.#closed; count++) {
      let client: Fd | undefined;
      try {
        client = accept(this.#listener)?.fd;
        if (client === undefined) return;
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
    using target = streamSocket(this.#target);
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

  /** Those who wait stay in the kernel's queue. */
  #rest(error: unknown): void {
    log("warn", "cannot take a connection now", { address: this.#shown, error: errorMessage(error) });
    this.#loop.change(this.#token, 0);
    this.#loop.after(exhaustedMs, () => {
      if (!this.#closed) this.#loop.change(this.#token, EPOLLIN);
    });
  }
}
