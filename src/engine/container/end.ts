/** How a container ended, with what is known of why: part of its record, and of the event of its end. */
import type { Initiator } from "../../core/initiator.ts";
import type { OomFigures } from "../../runtime/cgroup/stats.ts";

/** What somebody asked of tsd that made it send a signal. */
export type EndVerb = "stop" | "kill" | "restart" | "remove" | "checkpoint";

/** A signal that tsd has sent to a container's first process. */
export interface SentSignal {
  signal: number;
  verb: EndVerb;
  /** RFC 3339. */
  at: string;
  initiator?: Initiator;
}

/** Which process the kernel ended for want of memory, by its own log. */
export interface OomVictim {
  /** In the host's pid namespace. */
  pid: number;
  /** The first 15 bytes of its program's name. */
  name: string;
  /** Memory of its own that it had: anonymous pages. */
  anonymousBytes?: number;
}

export interface OomRecord extends OomFigures {
  victim?: OomVictim;
}

/** That it is not known how is a case of its own: never an invented 0. */
export type ContainerEnd = (
  | { kind: "exited"; exitCode: number; oomKilled: boolean; oom?: OomRecord }
  | { kind: "signalled"; signal: number; oomKilled: boolean; oom?: OomRecord }
  | { kind: "unknown"; reason: string }
) & {
  /** What tsd had sent it before, the oldest first. */
  sent?: SentSignal[];
};

/** Why nothing is known of an end. */
export const lostEnds = {
  shim: "exit status unknown: the container's shim was killed",
  host: "exit status unknown: the host was restarted",
} as const;
