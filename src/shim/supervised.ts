/** One process under the shim's care, the container's first or one that exec added: streams, start, end. */
import { type ChildExit, exitStatus, processStat } from "../../ffi/process.ts";
import { timeNow } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import { signalName } from "../core/signals.ts";
import type { ContainerStdio } from "../runtime/options.ts";
import type { ExecState, ExitRecord, StartResult } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";
import { ProcessStreams, type StreamOptions } from "./streams.ts";

/** How long output is waited for that only another process, which inherited the pipe, can still write. As docker. */
const drainGraceMs = 2000;

export class SupervisedProcess {
  readonly streams: ProcessStreams;
  readonly #reaper: Reaper;
  readonly #ended = Promise.withResolvers<ExitRecord>();
  #started: StartResult | undefined;
  #startTime: number | undefined;
  #running = false;
  #exit: ExitRecord | undefined;

  constructor(reaper: Reaper, options: StreamOptions) {
    this.#reaper = reaper;
    this.streams = new ProcessStreams(options);
    // Nobody may be waiting when a start fails.
    this.#ended.promise.catch(() => undefined);
  }

  get running(): boolean {
    return this.#running;
  }

  get started(): StartResult | undefined {
    return this.#started;
  }

  /** Clock ticks since boot, field 22 of proc_pid_stat(5). */
  get startTime(): number | undefined {
    return this.#startTime;
  }

  get exit(): ExitRecord | undefined {
    return this.#exit;
  }

  /** Resolves when the process has ended and its output was read; rejects when it could not be started. */
  get ended(): Promise<ExitRecord> {
    return this.#ended.promise;
  }

  /**
   * Starts it. `onExit` runs as soon as it has ended, before its output has been read to the end and before anybody
   * hears of it; the record that it returns is the one that is told.
   */
  async start(
    how: (stdio: ContainerStdio, onPid: (pid: number) => void) => Promise<void>,
    onExit: (exit: ExitRecord) => Promise<ExitRecord> | ExitRecord,
    onDrained: () => Promise<void> | void,
  ): Promise<StartResult> {
    if (this.#started !== undefined) throw new EngineError("conflict", "the process was started already");
    let end: Promise<ChildExit> | undefined;
    try {
      await this.streams.open((stdio) =>
        how(stdio, (pid) => {
          this.#startTime = processStat(pid)?.startTime;
          this.#started = { pid, startedAt: timeNow() };
          this.#running = true;
          end = this.#reaper.wait(pid);
        }),
      );
    } catch (error) {
      this.#running = false;
      this.#started = undefined;
      this.streams.finish();
      this.#ended.reject(error);
      throw error;
    }
    if (end === undefined || this.#started === undefined) throw new EngineError("internal", "the runtime gave no pid");
    void end.then((exit) => this.#onEnd(exit, onExit, onDrained));
    return this.#started;
  }

  async #onEnd(
    child: ChildExit,
    onExit: (exit: ExitRecord) => Promise<ExitRecord> | ExitRecord,
    onDrained: () => Promise<void> | void,
  ): Promise<void> {
    this.#running = false;
    this.#exit = await onExit({
      exitCode: exitStatus(child),
      signal: child.kind === "killed" ? signalName(child.signal) : null,
      oomKilled: false,
      finishedAt: timeNow(),
      pid: child.pid,
    });
    await this.streams.drain(drainGraceMs);
    await onDrained();
    this.#ended.resolve(this.#exit);
    this.streams.finish();
  }

  /** @throws EngineError conflict when it does not run. */
  signal(signal: number, what: string): void {
    if (!this.#running || this.#started === undefined) throw new EngineError("conflict", `${what} is not running`);
    // A child keeps its number until it is reaped, and that happens in this thread alone.
    process.kill(this.#started.pid, signal);
  }

  state(execId: string): ExecState {
    return { execId, pid: this.#started?.pid ?? null, running: this.#running, exit: this.#exit ?? null };
  }
}
