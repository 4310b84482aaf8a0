/** A name server that is asked what no container is called. */
import type { Fd } from "../../../ffi/fd.ts";
import type { SocketAddress } from "../../../ffi/socket/address.ts";
import { dnsPort } from "./redirect.ts";

/** So often in a row it has not answered in time before others are asked first. */
const silentMax = 3;
/** For how long. Then it is tried first again: which server knows what may depend on the order. */
const avoidedMs = 5_000;

export class Upstream {
  /** As the configuration writes it. */
  readonly name: string;
  readonly address: SocketAddress;
  /** The network namespace from which it is asked; undefined for the host's own. */
  readonly namespace: Fd | undefined;
  #silent = 0;
  #avoidedUntil = 0;

  constructor(name: string, address: Omit<SocketAddress, "port">, namespace?: Fd) {
    this.name = name;
    this.address = { ...address, port: dnsPort };
    this.namespace = namespace;
  }

  answered(): void {
    this.#silent = 0;
    this.#avoidedUntil = 0;
  }

  wasSilent(now: number): void {
    this.#silent++;
    if (this.#silent >= silentMax) this.#avoidedUntil = now + avoidedMs;
  }

  isAvoided(now: number): boolean {
    return now < this.#avoidedUntil;
  }
}

/** The servers in the order in which they are asked: those that are silent last. */
export function inOrder(servers: readonly Upstream[], now: number): readonly Upstream[] {
  if (!servers.some((server) => server.isAvoided(now))) return servers;
  const avoided = servers.filter((server) => server.isAvoided(now));
  return [...servers.filter((server) => !avoided.includes(server)), ...avoided];
}
