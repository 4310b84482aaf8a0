import type {
  ContainerCreateResponse,
  ContainerInspect,
  ContainerSummary,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  WaitCondition,
} from "../schema/container.ts";
import type { ContainerCreateRequest, ContainerUpdateRequest } from "../schema/container-config.ts";
import type { Filters } from "../schema/filters.ts";
import type { RunRequest } from "../schema/run-protocol.ts";
import type { AttachStream } from "./stream.ts";

export interface ContainerCreateOptions {
  /** Without a leading slash; absent: the engine makes one. */
  name?: string;
  /** `os[/arch[/variant]]`. */
  platform?: string;
}

export interface ContainerListOptions {
  all: boolean;
  /** The last n created, running or not; absent: no limit. */
  limit?: number;
  /** Compute SizeRw and SizeRootFs. */
  size: boolean;
  /** Names are already checked against Docker's list; values are not. */
  filters: Filters;
}

export interface ContainerAttachOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Begin with what was logged so far. */
  logs: boolean;
  /** Go on with what comes. Without it the output ends after the logs. */
  stream: boolean;
}

export interface LogOptions {
  stdout: boolean;
  stderr: boolean;
  follow: boolean;
  /** Only entries at or after this instant, in nanoseconds since the epoch. */
  sinceNano?: bigint;
  /** Only entries before or at this instant. */
  untilNano?: bigint;
  /** The last n lines; absent: all. */
  tail?: number;
  /** Each line begins with its time, RFC 3339 with nine fractional digits. */
  timestamps: boolean;
  /** Each line begins with the attributes of its container's log. */
  details: boolean;
}

export interface LogStream {
  terminal: boolean;
  /**
   * Docker's multiplexed frames, or with a terminal the bare text, in large pieces. Ends at the end (of the container
   * with follow).
   */
  output: AsyncIterable<Uint8Array>;
}

export interface ContainerStopOptions {
  signal?: string;
  /** Seconds until SIGKILL; negative: never. Absent: the container's own, else 10. */
  timeoutSeconds?: number;
}

/** A container that `run` has started. */
export interface RunSession {
  id: string;
  /** Absent when no stream was asked for. */
  stream?: AttachStream;
  /** Settles when the container has ended. */
  exited: Promise<ContainerWaitResponse>;
}

/**
 * Containers, as the routes need them. `ref` is an id, a unique beginning of one, or a name. All methods throw
 * EngineError: not_found ("No such container: x"), conflict, not_modified (start of a running container, stop of a
 * stopped one), invalid_argument, command_not_found and command_not_executable (start).
 */
export interface ContainerBackend {
  create(request: ContainerCreateRequest, options: ContainerCreateOptions): Promise<ContainerCreateResponse>;
  list(options: ContainerListOptions): Promise<ContainerSummary[]>;
  inspect(ref: string, options: { size: boolean }): Promise<ContainerInspect>;
  /** When it fails, what is attached ends and `wait` answers 127 (not found), 126 (not executable) or 128. */
  start(ref: string): Promise<void>;
  stop(ref: string, options: ContainerStopOptions): Promise<void>;
  /** Ends it if it runs, and starts it; one with AutoRemove outlives that. */
  restart(ref: string, options: ContainerStopOptions): Promise<void>;
  /** @param name with or without its slash. */
  rename(ref: string, name: string): Promise<void>;
  /** All or nothing: limits and the restart policy. */
  update(ref: string, request: ContainerUpdateRequest): Promise<ContainerUpdateResponse>;
  pause(ref: string): Promise<void>;
  unpause(ref: string): Promise<void>;
  /** @param signal as the client wrote it: `KILL`, `SIGTERM`, `15`; the engine refuses what is none. */
  kill(ref: string, signal: string): Promise<void>;
  /**
   * Resolves as soon as the waiting is registered, so that a start that follows cannot be missed; `exited` comes
   * later, and rejects only when the engine itself fails. When `signal` aborts it may stay pending.
   */
  wait(ref: string, condition: WaitCondition, signal: AbortSignal): Promise<{ exited: Promise<ContainerWaitResponse> }>;
  /** Works before the start too: then no byte of the container's output is lost. */
  attach(ref: string, options: ContainerAttachOptions, signal: AbortSignal): Promise<AttachStream>;
  /**
   * create, attach and start in one, for the fast path: the engine may do them side by side. Resolves when the process
   * runs. `onCreated` is called once the container has its id; an error after it is the start's, and with AutoRemove
   * the container is then gone again. A container with AutoRemove is removed after its end, off the critical path.
   */
  run(
    request: RunRequest,
    onCreated: (created: ContainerCreateResponse) => void,
    signal: AbortSignal,
  ): Promise<RunSession>;
  logs(ref: string, options: LogOptions, signal: AbortSignal): Promise<LogStream>;
  resize(ref: string, size: TerminalSize): Promise<void>;
  remove(ref: string, options: { force: boolean; volumes: boolean; link: boolean }): Promise<void>;
}

export interface TerminalSize {
  rows: number;
  columns: number;
}
