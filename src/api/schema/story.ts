/** GET /tsd/containers/{id}/why: the story of a container's last end. Types only. */
import type { EventInitiator } from "./event.ts";

/** What ended it, as far as that is known. */
export type EndCause =
  /** Nothing did: it runs, or has never been started. */
  | "none"
  /** It exited, and nobody had asked it to. */
  | "itself"
  /** A signal that tsd had sent because somebody wanted it to. */
  | "asked"
  /** The kernel, for want of memory. */
  | "memory"
  /** A signal that the kernel sends for a mistake of the program's own. */
  | "crash"
  /** A signal that tsd did not send. */
  | "outside"
  | "start-failed"
  /** How it ended is unknown. */
  | "shim-killed"
  | "host-restarted";

export interface StorySignal {
  /** `SIGTERM` */
  Signal: string;
  /** What was asked of tsd: `stop`, `kill`, `restart`, `remove`, `checkpoint`. */
  Verb: string;
  /** RFC 3339. */
  Time: string;
  Initiator?: EventInitiator;
}

export interface StoryMemory {
  /** How many processes the kernel ended. */
  Kills: number;
  LimitBytes?: number;
  PeakBytes?: number;
  /** The last of them, by the kernel's log; its number is the host's. */
  Process?: { Pid: number; Name: string; AnonymousBytes?: number };
}

export interface StoryProbe {
  /** RFC 3339. */
  Time: string;
  /** -1: it did not come to an answer. */
  ExitCode: number;
  /** The beginning of what it said. */
  Output: string;
}

export interface StoryStep {
  /** RFC 3339. */
  Time: string;
  /** `start`, `restart`, `destroy` */
  Action: string;
  Initiator?: EventInitiator;
}

export interface ContainerStory {
  Id: string;
  Name: string;
  Image: string;
  /** As inspect has it; `removed`: the story is from events. */
  Status: string;
  Cause: EndCause;
  /** A sentence or two. */
  Summary: string;
  /** Of the run that ended; RFC 3339. */
  StartedAt?: string;
  StartedBy?: EventInitiator;
  FinishedAt?: string;
  ExitCode?: number;
  /** That ended its first process. */
  Signal?: string;
  /** What tsd had sent it before, the last few. */
  Sent: StorySignal[];
  Memory?: StoryMemory;
  /** The probe by which it became unhealthy, where that has ended it. */
  Probe?: StoryProbe;
  /** Why its last start failed. */
  Error?: string;
  /** How often its policy has restarted it. */
  RestartCount?: number;
  /** The last that it wrote before that end. */
  LastLines: string[];
  /** Why there are none. */
  NoLines?: string;
  /** What happened after the end. */
  Next: StoryStep[];
  /** When its policy starts it again; RFC 3339. */
  RestartAt?: string;
}
