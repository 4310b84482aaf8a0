/**
 * Who wants what is being done: a client of the API, or the engine itself. It goes along with the work (through every
 * `await`, as AsyncLocalStorage has it) from where it is known, at the API's request or where the engine decides, to where
 * it is told: the events. No function between has to hand it on.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** Somebody at the API's socket, as the kernel knew him when he connected: SO_PEERCRED, unix(7). */
export interface ClientInitiator {
  kind: "client";
  /** In the daemon's user namespace. */
  uid: number;
  gid: number;
  /** In the daemon's pid namespace. 0: a process that is not in it. */
  pid: number;
  /** The name of that process, proc_pid_comm(5); empty when it was gone before anybody asked. */
  readonly command: string;
}

/** Why the engine acts without being asked. */
export const engineReasons = ["policy", "health", "boot", "auto-remove", "gc"] as const;

export type EngineReason = (typeof engineReasons)[number];

export interface EngineInitiator {
  kind: "engine";
  reason: EngineReason;
}

export type Initiator = ClientInitiator | EngineInitiator;

const initiators = new AsyncLocalStorage<Initiator | undefined>();

/** Does the work, and all that it begins, in that one's name. Undefined: in nobody's. */
export function initiatedBy<T>(initiator: Initiator | undefined, work: () => T): T {
  return initiators.run(initiator, work);
}

/**
 * The engine's own decision: `initiatedByEngine("policy", () => startContainer(…))`. Timers and promises that a request
 * has begun go on in its client's name: what the engine then decides of its own accord has to be wrapped in this.
 */
export function initiatedByEngine<T>(reason: EngineReason, work: () => T): T {
  return initiators.run({ kind: "engine", reason }, work);
}

/** Undefined: nobody in particular, as an end that comes of itself. */
export function currentInitiator(): Initiator | undefined {
  return initiators.getStore();
}
