/** Further processes in running containers. What is known of them lives as long as the daemon and the container do. */
import type { ExecCreateRequest, ExecInspect } from "../../api/schema/exec.ts";
import { EngineError, errorMessage, isEngineError, wrapError } from "../../core/errors.ts";
import { newId } from "../../core/id.ts";
import { log } from "../../core/log.ts";
import { openStream, type Stream } from "../container/attach.ts";
import type { Container } from "../container/container.ts";
import { containerEvent } from "../container/event.ts";
import { linkVariables } from "../container/links.ts";
import type { EngineContext } from "../context.ts";
import type { ShimPart, ShimStreamPart } from "../parts.ts";

/** Ended ones are kept this long for whoever asks for their exit status, as in Docker. */
const keepEndedMs = 5 * 60 * 1000;

/** From SIGHUP to SIGKILL for what an exec leaves whose client is gone. */
const hangUpGraceMs = 2000;

type ExecState =
  | { status: "created" }
  | { status: "starting"; settled: PromiseWithResolvers<void> }
  | { status: "running"; pid: number }
  | { status: "ended"; exitCode: number; endedAtMs: number };

type ShimExec = Parameters<ShimPart["exec"]>[0];

interface Exec {
  id: string;
  /** What its container's shim knows it by. */
  shimId: string;
  container: Container;
  request: ExecCreateRequest;
  state: ExecState;
}

export interface ExecStart {
  /** A terminal's first size. */
  size?: { rows: number; columns: number };
}

/** What the shim knows a health check's process by begins like this: a daemon that follows one that was killed ends those. */
export const probePrefix = "health-";

/** A process that runs, with its streams. */
export interface AttachedProcess {
  stream: ShimStreamPart;
  /** Its exit status. */
  ended: Promise<number>;
}

export class ExecService {
  readonly #context: EngineContext;
  readonly #execs = new Map<string, Exec>();
  /** The daemon ends, and cuts its clients off: they have not left. */
  #closing = false;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** To be called before clients are cut off: execs go on without the daemon, as containers do. */
  close(): void {
    this.#closing = true;
  }

  /** @throws EngineError not_found, conflict when the container does not run, invalid_argument without a command. */
  async create(reference: string, request: ExecCreateRequest): Promise<{ Id: string }> {
    return { Id: this.#create(this.#context.containers.find(reference), reference, request).id };
  }

  #create(container: Container, reference: string, request: ExecCreateRequest, isProbe = false): Exec {
    checkGoing(container, reference);
    if (!request.Cmd?.length) throw new EngineError("invalid_argument", "No exec command specified");
    if (request.WorkingDir && !request.WorkingDir.startsWith("/")) {
      const message = `the working directory '${request.WorkingDir}' is invalid, it needs to be an absolute path`;
      throw new EngineError("invalid_argument", message);
    }
    this.#forgetEnded();
    const id = newId();
    const shimId = isProbe ? probePrefix + id : id;
    const exec: Exec = { id, shimId, container, request, state: { status: "created" } };
    this.#execs.set(exec.id, exec);
    this.#event(exec, `exec_create: ${request.Cmd.join(" ")}`);
    return exec;
  }

  /** Starts the process of a health check, which has no client. With its end it is forgotten. @throws EngineError as `start`. */
  async startProbe(container: Container, Cmd: string[]): Promise<AttachedProcess & { kill: () => Promise<void> }> {
    const exec = this.#create(container, container.id, { Cmd, AttachStdout: true, AttachStderr: true }, true);
    try {
      const { stream, ended } = await this.#startAttached(exec, {});
      // With all that it has started.
      const kill = () => container.runningShim().endExec(exec.shimId, 0);
      return { stream, ended: ended.finally(() => this.#execs.delete(exec.id)), kill };
    } catch (error) {
      this.#execs.delete(exec.id);
      throw error;
    }
  }

  /** @throws EngineError not_found, conflict: what `start` refuses before it does anything. */
  async checkStart(id: string): Promise<void> {
    this.#startable(this.#find(id));
  }

  /**
   * Starts it with the streams that its creation named, delivered from the first byte. When the signal is aborted its
   * client is gone, and it is ended, unless the reason says that the client has detached, or may have.
   * One without streams has no client to lose: as by Docker, that is let go as soon as it runs.
   * @throws EngineError command_not_found, command_not_executable: `inspect` then shows 127 or 126.
   */
  async start(id: string, options: ExecStart, signal: AbortSignal): Promise<Stream> {
    const exec = this.#find(id);
    if (!hasStreams(exec)) {
      await this.#startAlone(exec, options);
      return { terminal: isTerminal(exec), output: noOutput() };
    }
    const { stream, ended } = await this.#startAttached(exec, options, signal);
    return openStream(stream, { terminal: isTerminal(exec), stdin: hasStdin(exec), signal, ended });
  }

  /**
   * `create` and `start` in one, for the fast path. Without streams nothing is attached.
   * @returns a promise of its exit status beside the stream.
   */
  async run(
    reference: string,
    request: ExecCreateRequest,
    onCreated: (id: string) => void,
    signal: AbortSignal,
  ): Promise<{ stream?: Stream; exited: Promise<number> }> {
    const { Id: id } = await this.create(reference, request);
    onCreated(id);
    const exec = this.#find(id);
    if (!hasStreams(exec)) {
      return { exited: (await this.#startAlone(exec, {})).ended };
    }
    const { stream, ended } = await this.#startAttached(exec, {}, signal);
    const options = { terminal: isTerminal(exec), stdin: hasStdin(exec), signal, ended };
    return { stream: openStream(stream, options), exited: ended };
  }

  async startDetached(id: string, options: ExecStart): Promise<void> {
    await this.#startAlone(this.#find(id), options);
  }

  /**
   * One that is being started is waited for: its client was answered before it runs.
   * @throws EngineError conflict when it does not run.
   */
  async resize(id: string, size: { rows: number; columns: number }): Promise<void> {
    const exec = this.#find(id);
    if (exec.state.status === "starting") await exec.state.settled.promise;
    if (exec.state.status !== "running") throw new EngineError("conflict", `exec ${id} is not running`);
    await exec.container.runningShim().resize(size.rows, size.columns, exec.shimId);
  }

  async inspect(id: string): Promise<ExecInspect> {
    const { container, request, state } = this.#find(id);
    const [entrypoint = "", ...args] = request.Cmd ?? [];
    return {
      ID: id,
      Running: state.status === "running",
      ExitCode: state.status === "ended" ? state.exitCode : null,
      ProcessConfig: {
        tty: request.Tty === true,
        entrypoint,
        arguments: args,
        privileged: request.Privileged === true,
        ...(request.User && { user: request.User }),
      },
      OpenStdin: request.AttachStdin === true,
      OpenStdout: request.AttachStdout === true,
      OpenStderr: request.AttachStderr === true,
      CanRemove: state.status === "ended",
      ContainerID: container.id,
      DetachKeys: request.DetachKeys ?? "",
      Pid: state.status === "running" ? state.pid : 0,
    };
  }

  /** Those that `inspect` of the container lists: what has not ended. */
  idsOf(container: Container): string[] {
    return [...this.#execs.values()]
      .filter((exec) => exec.container === container && exec.state.status !== "ended")
      .map(({ id }) => id);
  }

  async #startAttached(exec: Exec, options: ExecStart, signal?: AbortSignal): Promise<AttachedProcess> {
    const { AttachStdin: stdin = false, AttachStdout: stdout = false, AttachStderr: stderr = false } = exec.request;
    const shim = this.#begin(exec);
    try {
      const process = this.#process(exec, options, stdin);
      const { stream, started } = await shim.execAttached(process, { stdin, stdout, stderr });
      const ended = this.#started(exec, shim, started);
      if (signal !== undefined) this.#endWithClient(exec, shim, ended, signal);
      return { stream, ended };
    } catch (error) {
      throw this.#failed(exec, error);
    }
  }

  #endWithClient(exec: Exec, shim: ShimPart, ended: Promise<number>, signal: AbortSignal): void {
    const left = () => void this.#onClientLeft(exec, shim, signal.reason);
    signal.addEventListener("abort", left, { once: true });
    void ended.then(() => signal.removeEventListener("abort", left));
    if (signal.aborted) left();
  }

  /** Nobody would ever see what it does any more, or could end it: with the client it ends, unless that has detached. */
  async #onClientLeft(exec: Exec, shim: ShimPart, reason: unknown): Promise<void> {
    // Docker's client at a terminal looks for the keys itself, and leaves by them as it does when it is killed.
    const mayHaveDetached = isEngineError(reason) && (reason.stage === "detach" || reason.stage === "input");
    if (mayHaveDetached || this.#closing || exec.state.status !== "running") return;
    log("info", "ending an exec whose client is gone", { container: exec.container.id, exec: exec.id });
    try {
      await shim.endExec(exec.shimId, hangUpGraceMs);
    } catch (error) {
      // With its shim, or by itself, it has ended.
      if (isEngineError(error, "unavailable") || isEngineError(error, "not_found")) return;
      log("warn", "could not end an exec whose client is gone", { exec: exec.id, error: errorMessage(error) });
    }
  }

  /** @returns an object, so that the end is not waited for along with the start. */
  async #startAlone(exec: Exec, options: ExecStart): Promise<{ ended: Promise<number> }> {
    const shim = this.#begin(exec);
    try {
      return { ended: this.#started(exec, shim, await shim.exec(this.#process(exec, options, false))) };
    } catch (error) {
      throw this.#failed(exec, error);
    }
  }

  #begin(exec: Exec): ShimPart {
    const shim = this.#startable(exec);
    exec.state = { status: "starting", settled: Promise.withResolvers() };
    return shim;
  }

  #startable({ id, state, container }: Exec): ShimPart {
    if (state.status !== "created") throw new EngineError("conflict", `exec ${id} has already been started`);
    return checkGoing(container);
  }

  #process(exec: Exec, options: ExecStart, stdin: boolean): ShimExec {
    const size = options.size ?? consoleSize(exec.request);
    return {
      execId: exec.shimId,
      process: this.#context.bundles.process(exec.container.definition, exec.request, {
        layers: rootLayers(this.#context, exec),
        extraEnvironment: linkVariables(this.#context, exec.container),
      }),
      terminal: isTerminal(exec),
      stdin,
      ...(exec.shimId.startsWith(probePrefix) && { keepOrphans: true }),
      ...(size && { consoleSize: size }),
    };
  }

  /** @returns a promise of its exit status. */
  #started(exec: Exec, shim: ShimPart, { pid }: { pid: number }): Promise<number> {
    become(exec, { status: "running", pid });
    this.#event(exec, `exec_start: ${exec.request.Cmd!.join(" ")}`);
    return this.#watch(exec, shim);
  }

  async #watch(exec: Exec, shim: ShimPart): Promise<number> {
    let exitCode: number;
    try {
      exitCode = (await shim.wait(exec.shimId)).exitCode;
    } catch (error) {
      // Its shim is gone, and what it knew: 255 stands for an unknown end, as with containers.
      log("warn", "an exec's end was not seen", { exec: exec.id, error: errorMessage(error) });
      exitCode = 255;
    }
    this.#end(exec, exitCode);
    return exitCode;
  }

  #failed(exec: Exec, error: unknown): EngineError {
    this.#end(exec, failureStatus(error));
    return isEngineError(error)
      ? error
      : wrapError(error, `exec in container ${exec.container.name}`, { stage: "exec" });
  }

  #end(exec: Exec, exitCode: number): void {
    if (exec.state.status === "ended") return;
    become(exec, { status: "ended", exitCode, endedAtMs: Date.now() });
    this.#event(exec, "exec_die", { exitCode: String(exitCode) });
  }

  #event(exec: Exec, action: string, attributes: Record<string, string> = {}): void {
    containerEvent(this.#context, exec.container, action, { execID: exec.id, ...attributes });
  }

  #find(id: string): Exec {
    const exec = this.#execs.get(id);
    if (exec === undefined || exec.container.removed)
      throw new EngineError("not_found", `No such exec instance: ${id}`);
    return exec;
  }

  #forgetEnded(): void {
    const oldestMs = Date.now() - keepEndedMs;
    for (const [id, { state, container }] of this.#execs) {
      if (container.removed || (state.status === "ended" && state.endedAtMs < oldestMs)) this.#execs.delete(id);
    }
  }
}

function become(exec: Exec, state: ExecState): void {
  const before = exec.state;
  exec.state = state;
  if (before.status === "starting") before.settled.resolve();
}

/** @throws EngineError conflict in docker's words when the container does not run, or stands still. */
function checkGoing(container: Container, reference: string = container.id): ShimPart {
  const shim = container.runningShim();
  if (!container.paused) return shim;
  throw new EngineError("conflict", `Container ${reference} is paused, unpause the container before exec`);
}

/** Docker's: 127 no such program, 126 what else is wrong with what was asked for, 128 anything else. */
function failureStatus(error: unknown): number {
  if (isEngineError(error, "command_not_found")) return 127;
  return isEngineError(error, "command_not_executable") || isEngineError(error, "invalid_argument") ? 126 : 128;
}

function isTerminal({ request }: Exec): boolean {
  return request.Tty === true;
}

function hasStreams({ request: { AttachStdin, AttachStdout, AttachStderr } }: Exec): boolean {
  return [AttachStdin, AttachStdout, AttachStderr].includes(true);
}

async function* noOutput(): AsyncGenerator<Uint8Array, void, void> {
  yield* [];
}

function hasStdin({ request }: Exec): boolean {
  return request.AttachStdin === true;
}

/** Where the users and groups of the container are read from, topmost first. */
function rootLayers(context: EngineContext, { container }: Exec): string[] {
  const { upper, lower } = context.snapshots.mounts(container.id);
  return [upper, ...lower];
}

function consoleSize(request: ExecCreateRequest): { rows: number; columns: number } | undefined {
  const [rows, columns] = request.ConsoleSize ?? [];
  return rows && columns ? { rows, columns } : undefined;
}
