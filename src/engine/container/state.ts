/**
 * What a container is doing, as a discriminated union: each case holds exactly what exists in that state, and one
 * table says which state may follow which. Docker's booleans are a projection of it, computed in one place.
 */
import { EngineError } from "../../core/errors.ts";
import type { ContainerEnd } from "./end.ts";

/** Why a start did not come to a running process; the exit status is what `docker run` returns for it. */
export interface StartFailure {
  exitCode: number;
  message: string;
}

export interface CreatedState {
  status: "created";
  failure?: StartFailure;
}

/** The intent to start, recorded before a shim is given the container. */
export interface StartingState {
  status: "starting";
  from: CreatedState | ExitedState | RestartingState;
}

/** What the restart policy has done since somebody started the container. */
export interface Restarts {
  count: number;
  /** How long it waits before the last of them, in milliseconds. */
  delayMs: number;
}

export interface RunningState {
  status: "running";
  pid: number;
  /** Field 22 of /proc/<pid>/stat (proc_pid_stat(5)), in clock ticks since boot: tells a pid from its successor. */
  pidStartTicks: number;
  /** RFC 3339. */
  startedAt: string;
  /**
   * Its processes stand still, or are about to: recorded before they are stopped, and taken away before they go on. Who
   * wanted it decides what a daemon does that finds them so.
   */
  pausedFor?: "user" | "commit";
  /** Absent: the policy has not restarted it yet. */
  restarts?: Restarts;
  /** Somebody wants it to end, recorded before it is told so: its policy does not start it again. */
  stoppedByHand?: true;
}

export interface ExitedState {
  status: "exited";
  startedAt: string;
  finishedAt: string;
  end: ContainerEnd;
  failure?: StartFailure;
  restarts?: Restarts;
  stoppedByHand?: true;
}

/** It has ended, and its policy starts it again: for Docker it runs all the time. */
export interface RestartingState {
  status: "restarting";
  from: ExitedState & { restarts: Restarts };
  /** RFC 3339. */
  restartAt: string;
}

/** The intent to remove: whatever exists of the container may already be gone. */
export interface RemovingState {
  status: "removing";
  from: CreatedState | ExitedState | DeadState;
}

/** A removal that could not be finished; it may be tried again. */
export interface DeadState {
  status: "dead";
  from: CreatedState | ExitedState;
  reason: string;
}

export type ContainerState =
  | CreatedState
  | StartingState
  | RunningState
  | ExitedState
  | RestartingState
  | RemovingState
  | DeadState;
export type ContainerStatus = ContainerState["status"];

const transitions: Record<ContainerStatus, readonly ContainerStatus[]> = {
  created: ["starting", "removing"],
  // Back to where it was when the start fails; straight to exited when it ended before anybody saw it run.
  starting: ["running", "created", "exited", "restarting"],
  // Paused, and back.
  running: ["running", "exited", "restarting"],
  restarting: ["starting", "exited"],
  // Its policy wants a daemon that was started to start it.
  exited: ["starting", "removing", "restarting"],
  removing: ["dead"],
  dead: ["removing"],
};

/** @throws EngineError internal when no container may go from the one state to the other. */
export function assertTransition(id: string, from: ContainerState, to: ContainerState): void {
  if (transitions[from.status].includes(to.status)) return;
  throw new EngineError("internal", `container ${id}: no transition from ${from.status} to ${to.status}`);
}

/** The exit status that the world is told: 128 + n for a signal, 255 where it is unknown, as Docker has it. */
export function exitCodeOf(end: ContainerEnd): number {
  switch (end.kind) {
    case "exited":
      return end.exitCode;
    case "signalled":
      return 128 + end.signal;
    case "unknown":
      return 255;
  }
}

/** Go's zero time: what the Engine API says for "not yet". */
export const zeroTime = "0001-01-01T00:00:00Z";

/** The Engine API's `State` of a container. */
export interface StateProjection {
  Status: "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";
  Running: boolean;
  Paused: boolean;
  Restarting: boolean;
  OOMKilled: boolean;
  Dead: boolean;
  Pid: number;
  ExitCode: number;
  Error: string;
  StartedAt: string;
  FinishedAt: string;
}

const idle: StateProjection = {
  Status: "created",
  Running: false,
  Paused: false,
  Restarting: false,
  OOMKilled: false,
  Dead: false,
  Pid: 0,
  ExitCode: 0,
  Error: "",
  StartedAt: zeroTime,
  FinishedAt: zeroTime,
};

export function projectState(state: ContainerState): StateProjection {
  switch (state.status) {
    case "created":
      return { ...idle, ...failureFields(state.failure) };
    case "starting":
      // Docker has no such state: until the process runs, the container is what it was.
      return projectState(state.from);
    case "running":
      return {
        ...idle,
        Status: state.pausedFor === undefined ? "running" : "paused",
        Running: true,
        Paused: state.pausedFor !== undefined,
        Pid: state.pid,
        StartedAt: state.startedAt,
      };
    case "exited":
      return {
        ...idle,
        Status: "exited",
        StartedAt: state.startedAt,
        FinishedAt: state.finishedAt,
        OOMKilled: state.end.kind !== "unknown" && state.end.oomKilled,
        ExitCode: exitCodeOf(state.end),
        Error: state.end.kind === "unknown" ? state.end.reason : "",
        ...failureFields(state.failure),
      };
    case "restarting":
      return { ...projectState(state.from), Status: "restarting", Running: true, Restarting: true };
    case "removing":
      return { ...projectState(state.from), Status: "removing" };
    case "dead":
      return { ...projectState(state.from), Status: "dead", Dead: true, Error: state.reason };
  }
}

/** What the policy has done by now; its count is the Engine API's `RestartCount`. */
export function restartsIn(state: ContainerState): Restarts | undefined {
  switch (state.status) {
    case "created":
      return undefined;
    case "running":
    case "exited":
      return state.restarts;
    case "restarting":
      return state.from.restarts;
    case "starting":
      // Who starts it by hand begins anew.
      return state.from.status === "restarting" ? restartsIn(state.from) : undefined;
    case "removing":
    case "dead":
      return restartsIn(state.from);
  }
}

function failureFields(failure: StartFailure | undefined): Partial<StateProjection> {
  return failure === undefined ? {} : { ExitCode: failure.exitCode, Error: failure.message };
}
