import type { ExecCreateRequest, ExecInspect } from "../schema/exec.ts";
import type { TerminalSize } from "./containers.ts";
import type { AttachStream } from "./stream.ts";

export interface ExecStartOptions {
  /** A terminal's first size. */
  size?: TerminalSize;
}

/** Further processes in running containers. All methods throw EngineError: not_found, conflict, invalid_argument. */
export interface ExecBackend {
  create(container: string, request: ExecCreateRequest): Promise<{ Id: string }>;
  /** Throws what `start` would refuse before it does anything: not_found, conflict. */
  checkStart(id: string): Promise<void>;
  /**
   * Starts it with the streams that its creation named, all of them delivered from the first byte. A command that
   * is not there or not executable throws command_not_found or command_not_executable, and inspect shows 127 or 126.
   */
  start(id: string, options: ExecStartOptions, signal: AbortSignal): Promise<AttachStream>;
  startDetached(id: string, options: ExecStartOptions): Promise<void>;
  /**
   * create and start in one, for the fast path. Without streams nothing is attached. `exited` has its exit status, and
   * never rejects.
   */
  run(
    container: string,
    request: ExecCreateRequest,
    onCreated: (id: string) => void,
    signal: AbortSignal,
  ): Promise<{ stream?: AttachStream; exited: Promise<number> }>;
  resize(id: string, size: TerminalSize): Promise<void>;
  inspect(id: string): Promise<ExecInspect>;
}
