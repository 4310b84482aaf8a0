/** One `tsd copy`: how it is started, what it says, and its end. */
import { SIGKILL } from "../../../ffi/constants/process.ts";
import type { Descriptor, Fd } from "../../../ffi/fd.ts";
import { pipe2 } from "../../../ffi/files.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { type PlanProcess, spawnPlan } from "../../../ffi/plan/spawn.ts";
import { pidfd_send_signal } from "../../../ffi/process.ts";
import { DescriptorReader } from "../../../ffi/stream.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { throwIfAborted } from "../shared-work.ts";
import { sandboxPlan } from "../unpack/sandbox.ts";
import { confinedProgram, type UnpackProgram } from "../unpack/unpacker.ts";
import { parseCopyMessage } from "./message-schema.ts";
import type { CopyReport, CopyRequest, PathStat } from "./protocol.ts";

/** The tree of a container. */
export interface CopyRoot {
  /** Records that make it the root of the process, in a mount namespace that is not the process's own. */
  enter: (plan: PlanBuilder) => void;
  /** What the records name, and `users` for a container with users of its own. They stay the caller's. */
  descriptors: Readonly<Record<string, Descriptor>>;
  /** Any directory that is there: the child's own root is mounted over it, where nobody else sees it. */
  place: string;
}

export interface CopyOptions {
  /** Ends the copy, with its reason where that is an EngineError. */
  signal: AbortSignal;
  /** How the child is started; tests run it from source. */
  program?: UnpackProgram | undefined;
  /** So long whoever sends an archive may send nothing. */
  silenceMs?: number;
}

const messageCharactersMax = 100_000;

let own: UnpackProgram | undefined;

export class CopyChild {
  readonly #process: PlanProcess;
  readonly #messages: DescriptorReader;
  readonly #signal: AbortSignal;
  readonly #turn: Disposable;
  readonly #decoder = new TextDecoder();
  readonly #onAbort = () => void this.end();
  #said = "";
  #ending: Promise<void> | undefined;

  private constructor(process: PlanProcess, messages: DescriptorReader, signal: AbortSignal, turn: Disposable) {
    this.#process = process;
    this.#messages = messages;
    this.#signal = signal;
    this.#turn = turn;
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /**
   * @param streams its standard input and output; absent where it has none. They stay the caller's.
   * @param turn disposed of when the child has ended, or could not be started.
   */
  static start(
    root: CopyRoot,
    request: CopyRequest,
    streams: { stdin?: Fd; stdout?: Fd },
    { signal, program }: CopyOptions,
    turn: Disposable,
  ): CopyChild {
    using held = new DisposableStack();
    held.use(turn);
    throwIfAborted(signal);
    own ??= program === undefined ? confinedProgram("copy") : undefined;
    const { command, readable } = program ?? own!;
    const plan = sandboxPlan({
      target: root.place,
      enterTree: root.enter,
      hasUsers: "users" in root.descriptors,
      isReadOnly: request.verb !== "write",
      readable,
      command: [...command, JSON.stringify(request)],
    });
    const error = pipe2();
    using messages = error.reader;
    using stderr = error.writer;
    const { stdin = stderr, stdout = stderr } = streams;
    const process = spawnPlan(plan, { descriptors: { ...root.descriptors, stdin, stdout, stderr } });
    held.move();
    return new CopyChild(process, new DescriptorReader(messages), signal, turn);
  }

  /** The first message. @throws what it says instead. */
  async stat(): Promise<PathStat> {
    const message = await this.#next();
    if (message.kind === "stat") return message.stat;
    throw new EngineError("internal", "copying child: it tells nothing of the path", { stage: "copy" });
  }

  /** The last message. @throws as `stat`. */
  async report(): Promise<CopyReport> {
    const message = await this.#next();
    if (message.kind === "report") return message.report;
    throw new EngineError("internal", "copying child: it ends without a report", { stage: "copy" });
  }

  /** It is killed where it has not ended. Resolves when nothing is left of it: the container's mounts, which it holds. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    this.#signal.removeEventListener("abort", this.#onAbort);
    using process = this.#process;
    pidfd_send_signal(process.pidfd, SIGKILL);
    await process.reaped();
    await this.#messages.close();
    this.#turn[Symbol.dispose]();
  }

  async #next(): Promise<Exclude<ReturnType<typeof parseCopyMessage>, { kind: "error" }>> {
    const line = await this.#line();
    throwIfAborted(this.#signal);
    if (!line.startsWith("{"))
      throw new EngineError("internal", `copying child: ${this.#howItEnded(line)}`, { stage: "copy" });
    let message: ReturnType<typeof parseCopyMessage>;
    try {
      message = parseCopyMessage(line);
    } catch (error) {
      throw new EngineError("internal", `copying child: ${errorMessage(error)}`, { stage: "copy", cause: error });
    }
    if (message.kind === "error") throw new EngineError(message.code, message.message, message.details);
    return message;
  }

  /** Up to the end of the line, or to its end. */
  async #line(): Promise<string> {
    for (;;) {
      const end = this.#said.indexOf("\n");
      if (end >= 0 && (this.#said.startsWith("{") || this.#messages.closed)) {
        const line = this.#said.slice(0, end);
        this.#said = this.#said.slice(end + 1);
        return line;
      }
      const piece = await this.#messages.read();
      if (piece === undefined) return this.#said;
      this.#said = (this.#said + this.#decoder.decode(piece, { stream: true })).slice(-messageCharactersMax);
    }
  }

  /** What the plan, the program or the kernel did. */
  #howItEnded(said: string): string {
    const failure = this.#process.failure();
    if (!failure) return said.trim() === "" ? "ended without a word" : said.trim();
    const { why, error } = failure;
    return why?.startsWith("mounts[") ? `${why}: ${error.message}` : error.message;
  }
}
