/** The sockets that `tsd proxy` holds, and what it is asked about them. */
import type { Fd } from "../../../../ffi/fd.ts";
import { EngineError, errorMessage, isEngineError, isKernelError } from "../../../core/errors.ts";
import { log } from "../../../core/log.ts";
import type { EventLoop, LoopTimer } from "../../companion/loop.ts";
import type { CompanionService } from "../../companion/server.ts";
import { ClientAddresses } from "./client-address.ts";
import { PipePool } from "./pipes.ts";
import {
  type HostSocket,
  type ProxyRequestName,
  type ProxyRequests,
  type ProxyStatus,
  type Refusal,
  type ShownClients,
  type SocketGroup,
  socketName,
} from "./protocol.ts";
import { reserveTcp, reserveUdp } from "./reservation.ts";
import { TcpForwarder, type TcpShared } from "./tcp.ts";
import { TcpPorts } from "./tcp-ports.ts";
import { sessionsMax, UdpForwarder, UdpSessions } from "./udp.ts";

/** How long after a request its garbage is collected. */
const trimMs = 1_000;

/** Descriptors that connections of TCP leave free beside those of UDP's clients: for new ports, and the daemon's. */
const othersMin = 1_024;

interface Held {
  socket: HostSocket;
  /** From now on; whoever is connected stays what it is to the container. */
  show(clients: ShownClients | undefined): void;
  close(): void;
  /** Or clients, of UDP. */
  readonly connections: number;
}

export class ProxyService implements CompanionService {
  readonly #loop: EventLoop;
  readonly #tcp: TcpShared;
  readonly #udp: UdpSessions;
  readonly #clients = new ClientAddresses();
  readonly #held = new Map<string, Held>();
  #trim: LoopTimer | undefined;

  /** @param descriptorsMax that this process may have open. */
  constructor(loop: EventLoop, descriptorsMax: number) {
    this.#loop = loop;
    const others = Math.min(descriptorsMax / 4, sessionsMax + othersMin);
    const ports = new TcpPorts(descriptorsMax - others);
    this.#tcp = { ports, pipes: new PipePool((fd) => ports.isLow(fd)), clients: this.#clients };
    this.#udp = new UdpSessions(loop, this.#clients);
  }

  get isIdle(): boolean {
    return this.#held.size === 0;
  }

  answer(request: string, parameters: unknown): unknown {
    this.#trimLater();
    const handlers: { [Name in ProxyRequestName]: (of: ProxyRequests[Name]["parameters"]) => unknown } = {
      hold: ({ groups }) => ({ refused: this.#hold(groups) }),
      drop: ({ names }) => {
        for (const name of names) this.#drop(name);
      },
      replace: ({ groups }) => ({ refused: this.#replace(groups) }),
      status: () => this.#status(),
    };
    if (!Object.hasOwn(handlers, request))
      throw new EngineError("unsupported", `tsd proxy knows no request ${request}`);
    return (handlers[request as ProxyRequestName] as (of: unknown) => unknown)(parameters);
  }

  /** Gives back what reading a long request has left in the heap: this process is idle for most of its life. */
  #trimLater(): void {
    if (this.#trim !== undefined) return;
    this.#trim = this.#loop.after(trimMs, () => {
      this.#trim = undefined;
      Bun.shrink();
    });
  }

  #replace(groups: SocketGroup[]): Refusal[] {
    if (this.#held.size === 0) this.#forgetPredecessors(groups);
    const wanted = new Set(groups.flat().map(socketName));
    for (const name of [...this.#held.keys()]) if (!wanted.has(name)) this.#drop(name);
    return this.#hold(groups);
  }

  /** This process has just begun: what it is told was held by one that was killed. */
  #forgetPredecessors(groups: SocketGroup[]): void {
    const shown = groups.flat().filter(({ shownClients }) => shownClients !== undefined);
    try {
      this.#clients.forgetPredecessors(shown.flatMap(({ target }) => target ?? []));
    } catch (error) {
      if (!isKernelError(error)) throw error;
      log("warn", "flows of an earlier proxy could not be ended", { error: errorMessage(error) });
    }
  }

  #hold(groups: SocketGroup[]): Refusal[] {
    return groups.flatMap((sockets, group) => {
      const added: string[] = [];
      for (const socket of sockets) {
        try {
          if (this.#add(socket)) added.push(socketName(socket));
        } catch (error) {
          for (const name of added) this.#drop(name);
          return [{ group, socket, errno: errnoOf(error), message: errorMessage(error) }];
        }
      }
      return [];
    });
  }

  /** @returns false when it is held as it is. A target that has changed needs a socket of its own. */
  #add(socket: HostSocket): boolean {
    const name = socketName(socket);
    const there = this.#held.get(name);
    if (there !== undefined) {
      if (Bun.deepEquals(there.socket.target, socket.target)) {
        there.show(socket.shownClients);
        return false;
      }
      this.#drop(name);
    }
    this.#held.set(name, this.#open(socket));
    return true;
  }

  #open(socket: HostSocket): Held {
    const { transport, target } = socket;
    if (target === undefined) return reserved(socket);
    if (transport === "sctp") throw new EngineError("unsupported", "connections of SCTP cannot be passed on");
    const forwarder =
      transport === "tcp"
        ? new TcpForwarder(this.#loop, this.#tcp, socket, target)
        : new UdpForwarder(this.#loop, this.#udp, socket, target);
    return {
      socket,
      show: (clients) => forwarder.show(clients),
      close: () => forwarder.close(),
      get connections() {
        return forwarder.connections;
      },
    };
  }

  #drop(name: string): void {
    const held = this.#held.get(name);
    this.#held.delete(name);
    held?.close();
  }

  #status(): ProxyStatus {
    let connections = 0;
    for (const held of this.#held.values()) connections += held.connections;
    return { sockets: this.#held.size, connections };
  }
}

function reserved(socket: HostSocket): Held {
  const fd = reserve(socket);
  return { socket, show: () => undefined, close: () => fd?.close(), connections: 0 };
}

function reserve(socket: HostSocket): Fd | undefined {
  switch (socket.transport) {
    case "tcp":
      return reserveTcp(socket);
    case "udp":
      return reserveUdp(socket);
    case "sctp":
      return undefined;
  }
}

function errnoOf(error: unknown): string {
  if (isEngineError(error)) return error.errno ?? error.code;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "internal";
}
