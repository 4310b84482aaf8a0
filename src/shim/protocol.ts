/**
 * What a shim and its clients say to each other over the shim's Unix socket.
 *
 * One JSON object a line. The client sends `{"id":1,"request":"run",…}`, the shim answers
 * `{"id":1,"ok":true,"result":{…}}` or `{"id":1,"ok":false,"error":{"code":…,"message":…}}`. Answers come when
 * they are ready, not in the order of the requests: `wait` answers at the end of the process, and other requests
 * go on meanwhile. `attach` is the exception: after its answer the connection carries no more lines but the bytes
 * of the stream, in both directions, until either side closes it. It may bring a process that is to be started, so that
 * an exec is one message.
 *
 * The messages are checked by hand and not with valibot: a shim is idle for most of its life, there is one for
 * each container, and what it loads stays in its memory.
 */
import type { WireError } from "../core/wire-error.ts";
import type { LogSeam } from "../logging/log-position.ts";
import type { LogTarget } from "../logging/log-target.ts";
import type { LinuxResources, OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import type { OomFigures } from "../runtime/cgroup/stats.ts";

/** Raised when a message changes in a way that an older shim, still running after an upgrade, would misread. */
export const protocolVersion = 2;

/** The longest request: config.json with every list that it can have stays far below. */
export const requestBytesMax = 8 * 2 ** 20;

/** An overlay for the container's root, topmost lower directory first. Without an upper directory it is read-only. */
export interface RootfsMount {
  lower: string[];
  upper?: string;
  work?: string;
  /** Its files have the owners of the container's user namespace on the disk. */
  mapped?: boolean;
}

export interface ConsoleSize {
  rows: number;
  columns: number;
}

/** Where criu's images are, and where its logs go. */
export interface CheckpointPlace {
  images: string;
  work: string;
}

/** Everything a shim needs to know to create and start one container. */
export interface ShimContainer {
  id: string;
  /** The OCI bundle: config.json (read when `config` is absent) and the directory of the root file system. */
  bundle: string;
  /** The configuration, already checked; spares the shim reading and checking config.json. */
  config?: RuntimeConfig;
  /** Directory of `shim.json` and `exit.json`, made with mode 0700 when missing. On a tmpfs, as /run is. */
  stateDir: string;
  /** The runtime's state root. */
  runtimeRoot: string;
  /** Another OCI runtime, driven through its command line; the built-in one when absent. */
  runtime?: { path: string; args?: string[] };
  rootfsMount?: RootfsMount;
  terminal: boolean;
  consoleSize?: ConsoleSize;
  /** `open`: standard input is a pipe, else /dev/null. `once`: it is closed when the first client that sends input ends. */
  stdin: { open: boolean; once: boolean };
  log: LogTarget;
  /** Its processes come from a checkpoint of it, and not from `config`'s program. */
  restore?: CheckpointPlace;
  noPivot?: boolean;
  noNewKeyring?: boolean;
}

/** How a process ended. `exitCode` is 128 + n after a signal n, as shells and docker report it. */
export interface ExitRecord {
  exitCode: number;
  /** `SIGKILL`, or null when the process exited by itself. */
  signal: string | null;
  /** The kernel killed something in the container's cgroup for want of memory. */
  oomKilled: boolean;
  oom?: OomFigures;
  /** RFC 3339 with nanoseconds. */
  finishedAt: string;
  pid: number;
}

/** `shim.json`: which shim serves a container; written before its first process is started. */
export interface ShimRecord {
  version: number;
  id: string;
  socket: string;
  /** The shim's pid and its start time, field 22 of proc_pid_stat(5), which together name a process for good. */
  shimPid: number;
  shimStartTime: number;
  /** The container's first process; null until it is started. */
  pid: number | null;
  pidStartTime: number | null;
  startedAt: string | null;
}

export type ShimStatus = "spare" | "starting" | "running" | "paused" | "exited";

export interface ExecState {
  execId: string;
  pid: number | null;
  running: boolean;
  exit: ExitRecord | null;
}

export interface ShimState {
  status: ShimStatus;
  containerId: string | null;
  pid: number | null;
  startedAt: string | null;
  exit: ExitRecord | null;
  execs: ExecState[];
  /** Clients attached to the container's own streams. */
  attached: number;
  /** Lines that could not be written to the log (a full disk). */
  logLostLines: number;
}

export interface HelloResult {
  protocol: number;
  version: string;
  pid: number;
  status: ShimStatus;
  containerId: string | null;
}

export interface StartResult {
  pid: number;
  /** RFC 3339 with nanoseconds. */
  startedAt: string;
}

export interface AttachOptions {
  /** Absent: the container's own streams. */
  execId?: string;
  /** Starts this process, and attaches to it from its first byte. The answer comes when it runs. */
  exec?: ExecOptions;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Answer where in the container's log the stream begins. */
  seam?: boolean;
}

export interface ExecOptions {
  execId: string;
  process: OciProcess;
  terminal: boolean;
  consoleSize?: ConsoleSize;
  /** Standard input is a pipe that ends with the first client that sends input; else /dev/null. */
  stdin: boolean;
  /** Whatever it starts is found by its parents for as long as it lives: orphans are not given to the container's first process. */
  keepOrphans?: boolean;
}

/** Each request with what it carries and what its answer is. */
export interface Requests {
  hello: { arguments: Record<never, never>; result: HelloResult };
  /** Creates and starts the container. Clients that attached before miss no byte. */
  run: { arguments: { container: ShimContainer }; result: StartResult };
  attach: { arguments: AttachOptions; result: Partial<StartResult> & { seam?: LogSeam | undefined } };
  /** Answers when the process has ended and its output is in the log and on its way to the attached clients. */
  wait: { arguments: { execId?: string }; result: { exit: ExitRecord } };
  /** `all`: every process of the container, not the first alone. */
  signal: { arguments: { signal: number; all?: boolean; execId?: string }; result: Record<never, never> };
  resize: { arguments: ConsoleSize & { execId?: string }; result: Record<never, never> };
  /** Starts a further process that nobody is attached to. */
  exec: { arguments: ExecOptions; result: StartResult };
  /**
   * Ends a further process with all that it has started: SIGHUP, then SIGKILL for what is left after that time. Answers
   * when none is left, also when it had ended before.
   */
  endExec: { arguments: { execId: string; graceMs: number }; result: Record<never, never> };
  closeStdin: { arguments: { execId?: string }; result: Record<never, never> };
  pause: { arguments: Record<never, never>; result: Record<never, never> };
  resume: { arguments: Record<never, never>; result: Record<never, never> };
  /** Changes limits of the container that runs, all of them or none. What is not spoken of stays. */
  update: { arguments: { resources: LinuxResources }; result: Record<never, never> };
  /**
   * Saves the container's processes with criu. The images are there when all of them are; when the container is not
   * left running it ends as by SIGKILL.
   */
  checkpoint: { arguments: CheckpointPlace & { leaveRunning: boolean }; result: Record<never, never> };
  /** `settled`: not before a start, or a pause, that is under way has come to its end, one or the other. */
  state: { arguments: { settled?: boolean }; result: ShimState };
  /**
   * Removes what the runtime keeps of an ended container and ends the shim; `force` kills a running one first. Who has
   * the answer can be sure that the shim runs nothing and never will: a start under way is waited for, a later one
   * refused. With `reuse` the shim may stay instead, spare again, for as long as the connection is open: `spare` tells.
   */
  release: { arguments: { force?: boolean; reuse?: boolean }; result: { spare?: boolean } };
  /** Listens at one more socket, as a spare shim of its own in the same process, which ends when all of them have. */
  share: { arguments: { socketPath: string }; result: Record<never, never> };
}

export type RequestName = keyof Requests;

export type Request = {
  [Name in RequestName]: { id: number; request: Name } & Requests[Name]["arguments"];
}[RequestName];

export type Response =
  | { id: number | null; ok: true; result: unknown }
  | { id: number | null; ok: false; error: WireError };
