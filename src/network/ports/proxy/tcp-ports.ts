/** What the TCP ports share: this process's descriptors, of which each connection takes two, and two for what waits in it. */
import type { Fd } from "../../../../ffi/fd.ts";

/** Connections that are given up at once, so that the next few need not look who has the most. */
const givenUpMax = 64;

/** A port's connections. */
export interface TcpPort {
  readonly connections: number;
  /** Ends so many connections, the latest first: those of a flood, rather than those that work since long. */
  giveUp(count: number): void;
}

export class TcpPorts {
  readonly #ports = new Set<TcpPort>();
  readonly #highest: number;

  /** @param highest descriptors above it are left to all that is no connection of TCP: the daemon's, UDP's, new ports'. */
  constructor(highest: number) {
    this.#highest = highest;
  }

  add(port: TcpPort): void {
    this.#ports.add(port);
  }

  delete(port: TcpPort): void {
    this.#ports.delete(port);
  }

  /** The kernel gives the lowest number that is free: a high one says that there are few left. */
  isLow(fd: Fd): boolean {
    return fd.number > this.#highest;
  }

  /**
   * Whoever has the most connections gives up some for one that has fewer: a port that is flooded does not keep the
   * others from being reached. @returns false when nobody has more.
   */
  makeRoom(asker: TcpPort): boolean {
    let largest = asker;
    for (const port of this.#ports) if (port.connections > largest.connections) largest = port;
    const surplus = largest.connections - asker.connections;
    if (surplus < 2) return false;
    largest.giveUp(Math.min(Math.ceil(surplus / 2), givenUpMax));
    return true;
  }
}
