/** The container that a shim serves, from the request to run it until it is removed. */
import { SIGKILL } from "../../ffi/constants/process.ts";
import { processStat } from "../../ffi/process.ts";
import { EngineError, errorMessage, wrapError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { LogSeam } from "../logging/log-position.ts";
import type { LogWriter } from "../logging/log-writer.ts";
import type { LinuxResources, OciProcess } from "../oci/runtime.ts";
import type { OomFigures } from "../runtime/cgroup/stats.ts";
import type { Attachment } from "./attachment.ts";
import type { RuntimeDriver } from "./driver.ts";
import {
  type CheckpointPlace,
  type ConsoleSize,
  type ExecOptions,
  type ExitRecord,
  protocolVersion,
  type ShimContainer,
  type ShimState,
  type ShimStatus,
  type StartResult,
} from "./protocol.ts";
import type { Reaper } from "./reaper.ts";
import { prepareStateDirectory, writeExitRecord, writeShimRecord } from "./records.ts";
import { SupervisedProcess } from "./supervised.ts";

/** Ended execs whose exit status was told and is kept for who asks once more. */
const toldExecsMax = 64;
/** Ended execs that nobody has asked for yet: a daemon that starts very many at once asks late, one that was killed never. */
const untoldExecsMax = 4096;

export interface ContainerContext {
  /** Whether the daemon that is connected now still is after that time: it may be that only its clients are gone. */
  daemonStays: (durationMs: number) => Promise<boolean>;
  socketPath: string;
  reaper: Reaper;
  /** Chooses the runtime. */
  openDriver: (container: ShimContainer, reaper: Reaper) => Promise<RuntimeDriver>;
  /** Opens the log that the container asks for. */
  openLog: (container: ShimContainer) => Promise<LogWriter | undefined>;
}

export class ShimmedContainer {
  readonly options: ShimContainer;
  readonly #context: ContainerContext;
  readonly #driver: RuntimeDriver;
  readonly #log: LogWriter | undefined;
  readonly #init: SupervisedProcess;
  readonly #execs = new Map<string, SupervisedProcess>();
  /** Execs whose end somebody has asked for. */
  readonly #awaited = new WeakSet<SupervisedProcess>();
  #removal: Promise<void> | undefined;
  #paused = false;
  /** Stopping processes and letting them go is done one after the other: another runtime takes its time for each. */
  #freezing: Promise<unknown> = Promise.resolve();
  #saving: Promise<void> | undefined;
  /** Nothing of it is left. */
  removed = false;
  /** Told once when that is so. */
  onRemoved: () => void = () => undefined;

  private constructor(options: ShimContainer, context: ContainerContext, driver: RuntimeDriver, output?: LogWriter) {
    this.options = options;
    this.#context = context;
    this.#driver = driver;
    this.#log = output;
    this.#init = new SupervisedProcess(context.reaper, {
      terminal: options.terminal,
      stdin: options.stdin.open,
      stdinOnce: options.stdin.once,
      daemonStays: context.daemonStays,
      ...(options.consoleSize !== undefined && { consoleSize: options.consoleSize }),
      ...(output !== undefined && { log: output }),
    });
  }

  /**
   * Creates and starts a container, with the clients that attached before.
   * @throws EngineError; then nothing is left and the clients' streams have ended.
   */
  static async run(
    options: ShimContainer,
    context: ContainerContext,
    attachments: Iterable<Attachment>,
  ): Promise<{ container: ShimmedContainer; started: StartResult }> {
    prepareStateDirectory(options.stateDir);
    const driver = await context.openDriver(options, context.reaper);
    const container = new ShimmedContainer(options, context, driver, await context.openLog(options));
    for (const attachment of attachments) container.#init.streams.attach(attachment);
    try {
      container.#writeRecord();
      const started = await container.#start();
      return { container, started };
    } catch (error) {
      await container.#log?.close();
      throw error;
    }
  }

  /** With its pid namespace all its processes are gone: no orphan of it can come to this shim later. */
  get leavesNothing(): boolean {
    return this.removed && this.options.runtime === undefined && !this.#driver.sharesPidNamespace;
  }

  get ended(): boolean {
    return this.#init.exit !== undefined;
  }

  attach(attachment: Attachment, execId: string | undefined): void {
    const process = this.#process(execId);
    if (process.exit !== undefined) throw new EngineError("conflict", `${this.#name(execId)} has ended`);
    process.streams.attach(attachment);
  }

  /** Where the output that comes next will be in the log. */
  logSeam(): Promise<LogSeam> | LogSeam | undefined {
    return this.#log?.seam();
  }

  wait(execId: string | undefined): Promise<ExitRecord> {
    const process = this.#process(execId);
    if (execId !== undefined) {
      this.#awaited.add(process);
      this.#forgetExecs();
    }
    return process.ended;
  }

  async signal(signal: number, all: boolean, execId: string | undefined): Promise<void> {
    if (execId !== undefined) return this.#process(execId).signal(signal, this.#name(execId));
    this.#checkRunning();
    await this.#driver.signal(signal, all);
    if (signal !== SIGKILL) return;
    await this.#oneByOne(async () => {
      if (!this.#paused || !this.#init.running) return;
      // A frozen process (cgroup v1) takes the signal when it is thawed. Some runtimes do that with the kill.
      this.#paused = false;
      await this.#driver.resume().catch((error) => log("debug", `resume after SIGKILL: ${errorMessage(error)}`));
    });
  }

  async endExec(execId: string, graceMs: number): Promise<void> {
    const { endTree } = await import("./process-tree.ts");
    await endTree(this.#exec(execId), graceMs);
  }

  resize(size: ConsoleSize, execId: string | undefined): void {
    this.#process(execId).streams.resize(size);
  }

  closeStdin(execId: string | undefined): Promise<void> {
    return this.#process(execId).streams.closeInput();
  }

  /** Starts a further process. @param attachment of the client that gets its output from the first byte. */
  async exec(options: ExecOptions, attachment?: Attachment): Promise<StartResult> {
    this.#checkRunning();
    if (this.#execs.has(options.execId)) {
      throw new EngineError("already_exists", `exec ${options.execId} exists already`);
    }
    const process = new SupervisedProcess(this.#context.reaper, {
      terminal: options.terminal,
      stdin: options.stdin,
      stdinOnce: true,
      // No later daemon knows of it, and none of its clients could go on.
      daemonStays: async () => true,
      ...(options.consoleSize !== undefined && { consoleSize: options.consoleSize }),
    });
    this.#execs.set(options.execId, process);
    if (attachment !== undefined) process.streams.attach(attachment);
    try {
      return await process.start(
        (stdio, onPid) =>
          this.#driver.exec(ociProcess(options), stdio, onPid, { keepOrphans: options.keepOrphans ?? false }),
        (exit) => exit,
        () => this.#forgetExecs(),
      );
    } catch (error) {
      this.#execs.delete(options.execId);
      throw error;
    }
  }

  pause(): Promise<void> {
    return this.#oneByOne(async () => {
      this.#checkRunning();
      if (this.#paused) throw new EngineError("conflict", `container ${this.options.id} is already paused`);
      await this.#driver.pause();
      this.#paused = true;
    });
  }

  resume(): Promise<void> {
    return this.#oneByOne(async () => {
      this.#checkRunning();
      if (!this.#paused) throw new EngineError("conflict", `container ${this.options.id} is not paused`);
      await this.#driver.resume();
      this.#paused = false;
    });
  }

  /** Resolves when no pause is under way: what `state` says then stays so unless somebody asks for something else. */
  async settled(): Promise<void> {
    await this.#freezing;
  }

  #oneByOne(work: () => Promise<void>): Promise<void> {
    const done = this.#freezing.then(work);
    this.#freezing = done.catch(() => undefined);
    return done;
  }

  async update(resources: LinuxResources): Promise<void> {
    this.#checkRunning();
    await this.#driver.update(resources);
  }

  /** @throws EngineError; the container goes on as before. */
  async checkpoint(options: CheckpointPlace & { leaveRunning: boolean }): Promise<void> {
    // One after the other, though a daemon that was killed may have asked for one: each removes what is unfinished.
    const before = this.#saving;
    const save = async () => {
      await before;
      this.#checkRunning();
      await this.#driver.checkpoint(options);
    };
    const saving = save();
    this.#saving = saving.catch(() => undefined);
    await saving;
  }

  state(): Omit<ShimState, "containerId"> {
    const { started, exit } = this.#init;
    return {
      status: this.status,
      pid: started?.pid ?? null,
      startedAt: started?.startedAt ?? null,
      exit: exit ?? null,
      execs: [...this.#execs].map(([execId, process]) => process.state(execId)),
      attached: this.#init.streams.attached,
      logLostLines: this.#log?.lostLines ?? 0,
    };
  }

  get status(): ShimStatus {
    if (this.#init.exit !== undefined) return "exited";
    if (!this.#init.running) return "starting";
    return this.#paused ? "paused" : "running";
  }

  /** Kills it and waits for its end. */
  async kill(): Promise<void> {
    if (this.#init.running) await this.signal(SIGKILL, false, undefined);
    await this.#init.ended;
  }

  /** Removes what the runtime keeps of the ended container. Done by itself after the end; again when that failed. */
  remove(): Promise<void> {
    this.#removal ??= this.#remove();
    return this.#removal;
  }

  async #remove(): Promise<void> {
    // Who has asked for it is answered before this shim can be let go.
    await this.#saving;
    try {
      await this.#driver.remove();
    } catch (error) {
      this.#removal = undefined;
      throw wrapError(error, `remove container ${this.options.id}`);
    }
    this.removed = true;
    this.onRemoved();
  }

  async #start(): Promise<StartResult> {
    const started = await this.#init.start(
      (stdio, onPid) =>
        this.#driver.run(stdio, (pid) => {
          onPid(pid);
          this.#writeRecord();
        }),
      (exit) => this.#onExit(exit),
      () => this.#log?.close(),
    );
    void this.#init.ended
      // Who waits is told first: what is left to do takes as long as telling them.
      .then(() => new Promise((resolve) => setImmediate(resolve)))
      .then(() => this.remove())
      .catch((error) => log("error", errorMessage(error)));
    return started;
  }

  /** The record is on disk before anybody is told, so that an end is known even when this shim is killed now. */
  #onExit(exit: ExitRecord): ExitRecord {
    // Without a pid namespace of its own what the first process leaves behind does not die with it.
    if (this.#driver.sharesPidNamespace) {
      this.#driver.signal(SIGKILL, true).catch((error) => log("debug", `kill what is left: ${errorMessage(error)}`));
    }
    const oom = this.#oomFigures();
    const record = { ...exit, oomKilled: oom !== undefined, ...(oom && { oom }) };
    try {
      writeExitRecord(this.options.stateDir, record);
    } catch (error) {
      log("error", wrapError(error, `record the end of container ${this.options.id}`).message);
    }
    return record;
  }

  #oomFigures(): OomFigures | undefined {
    try {
      return this.#driver.oomFigures();
    } catch (error) {
      log("warn", `container ${this.options.id}: figures of OOM kills: ${errorMessage(error)}`);
      return undefined;
    }
  }

  #writeRecord(): void {
    const { started, startTime } = this.#init;
    writeShimRecord(this.options.stateDir, {
      version: protocolVersion,
      id: this.options.id,
      socket: this.#context.socketPath,
      shimPid: process.pid,
      shimStartTime: processStat(process.pid)?.startTime ?? 0,
      pid: started?.pid ?? null,
      pidStartTime: startTime ?? null,
      startedAt: started?.startedAt ?? null,
    });
  }

  #checkRunning(): void {
    if (!this.#init.running) throw new EngineError("conflict", `container ${this.options.id} is not running`);
  }

  #process(execId: string | undefined): SupervisedProcess {
    return execId === undefined ? this.#init : this.#exec(execId);
  }

  #exec(execId: string): SupervisedProcess {
    const exec = this.#execs.get(execId);
    if (exec === undefined) throw new EngineError("not_found", `no such exec: ${execId}`);
    return exec;
  }

  #name(execId: string | undefined): string {
    return execId === undefined ? `container ${this.options.id}` : `exec ${execId}`;
  }

  /** A health check makes an exec every few seconds for months: the ended ones are forgotten, oldest first. */
  #forgetExecs(): void {
    if (this.#execs.size <= toldExecsMax) return;
    const ended = [...this.#execs].filter(([, process]) => process.exit !== undefined);
    const told = ended.filter(([, process]) => this.#awaited.has(process));
    const untold = ended.filter(([, process]) => !this.#awaited.has(process));
    for (const [execId] of [...oldest(told, toldExecsMax), ...oldest(untold, untoldExecsMax)])
      this.#execs.delete(execId);
  }
}

/** Those beyond that many at the end. */
function oldest<T>(all: readonly T[], kept: number): T[] {
  return all.slice(0, Math.max(0, all.length - kept));
}

/** The size goes along with the process: set from outside it may come after the process has asked for it. */
function ociProcess({ process, terminal, consoleSize }: ExecOptions): OciProcess {
  if (!terminal || consoleSize === undefined) return { ...process, terminal };
  return { ...process, terminal, consoleSize: { height: consoleSize.rows, width: consoleSize.columns } };
}
