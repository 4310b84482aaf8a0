/** A line of GET /events. Types only; the routes write it (and the fields of older versions). */
import type { EngineReason } from "../../core/initiator.ts";

export type EventType =
  | "builder"
  | "config"
  | "container"
  | "daemon"
  | "image"
  | "network"
  | "node"
  | "plugin"
  | "secret"
  | "service"
  | "volume";

/** Who wanted it: a client of the API by what the kernel says of it, or the engine of its own accord. */
export type EventInitiator =
  | { Kind: "client"; Uid: number; Gid: number; Pid: number; Command: string }
  | { Kind: "engine"; Reason: EngineReason };

export interface EventMessage {
  Type: EventType;
  /** `create`, `start`, `die`, `exec_create: sh -c x`, … */
  Action: string;
  /** Containers: Attributes has image, name and the labels, and exitCode, signal, execID where they apply. */
  Actor: { ID: string; Attributes: Record<string, string> };
  scope: "local" | "swarm";
  /** Seconds since the epoch. */
  time: number;
  /** Nanoseconds since the epoch: beyond 2^53, hence a bigint, a plain number on the wire. */
  timeNano: bigint;
  /** tsd's own; absent where nobody wanted it, or it is not known who did. */
  Initiator?: EventInitiator;
}
