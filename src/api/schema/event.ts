/** A line of GET /events. Types only; the routes write it (and the fields of older versions). */
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
}
