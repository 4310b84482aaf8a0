/**
 * What is made ahead of the next container, while nobody waits: a namespace with an interface on the default network,
 * and one with nothing in it.
 */
import type { Descriptor } from "../../ffi/fd.ts";
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { NetworkNamespace } from "./namespace.ts";
import type { SandboxRecord } from "./records.ts";

/** When a spare is made after one was used: not while the container that took it is being started. */
const refillDelayMs = 25;

/** A namespace with its record. */
export interface MadeSandbox {
  record: SandboxRecord;
  namespace: NetworkNamespace;
}

export interface SparesOptions {
  /** Makes a sandbox on the default network that is nobody's. */
  make: () => MadeSandbox;
  /** False for one that somebody tampered with. */
  isGood: (spare: MadeSandbox) => boolean;
  discard: (spare: MadeSandbox) => void;
}

export class Spares {
  readonly #options: SparesOptions;
  /** The user namespace that they are for; absent: the host's. */
  readonly owner: Descriptor | undefined;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #connected: MadeSandbox | undefined;
  #empty: NetworkNamespace | undefined;
  #closed = false;

  constructor(options: SparesOptions, owner?: Descriptor) {
    this.#options = options;
    this.owner = owner;
  }

  /** At once. @throws as what is made. */
  make(isConnected: boolean): void {
    if (isConnected) this.#connected ??= this.#options.make();
    else this.#empty ??= NetworkNamespace.create(this.owner);
  }

  /** One that is on the default network, if there is one. The next is made after this container's start. */
  takeConnected(): MadeSandbox | undefined {
    const spare = this.#connected;
    this.#connected = undefined;
    if (spare === undefined || this.#options.isGood(spare)) return spare;
    this.#options.discard(spare);
    return undefined;
  }

  /** Lets go of the connected one if it is in somebody's way. */
  dropConnected(isInTheWay: (spare: MadeSandbox) => boolean): void {
    const spare = this.#connected;
    if (spare === undefined || !isInTheWay(spare)) return;
    this.#connected = undefined;
    this.#options.discard(spare);
  }

  takeEmpty(): NetworkNamespace {
    const namespace = this.#empty ?? NetworkNamespace.create(this.owner);
    this.#empty = undefined;
    return namespace;
  }

  refillConnected(): void {
    this.#later("connected", () => this.make(true));
  }

  refillEmpty(): void {
    this.#later("empty", () => this.make(false));
  }

  /** Makes a spare when there is time. One that cannot be made is no loss: the next attachment says why. */
  #later(what: string, work: () => void): void {
    if (this.#closed || this.#timers.has(what)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(what);
      try {
        work();
      } catch (error) {
        log("debug", `no spare namespace (${what}) for the next container`, { error: errorMessage(error) });
      }
    }, refillDelayMs);
    timer.unref();
    this.#timers.set(what, timer);
  }

  /** Drops what there is; nothing is made any more. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.dropConnected(() => true);
    this.#empty?.[Symbol.dispose]();
    this.#empty = undefined;
  }
}
