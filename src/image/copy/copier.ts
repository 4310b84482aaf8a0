/** Starts `tsd copy` for one request and hands on what it says. The daemon's own event loop touches none of the files. */
import { SIGKILL } from "../../../ffi/constants/process.ts";
import type { Descriptor, Fd } from "../../../ffi/fd.ts";
import { pipe2, widenPipe } from "../../../ffi/files.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { type PlanProcess, spawnPlan } from "../../../ffi/plan/spawn.ts";
import { pidfd_send_signal } from "../../../ffi/process.ts";
import { DescriptorReader, DescriptorWriter } from "../../../ffi/stream.ts";
import { EngineError, errorMessage, isEngineError, isErrno } from "../../core/errors.ts";
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
  signal: AbortSignal;
  /** How the child is started; tests run it from source. */
  program?: UnpackProgram | undefined;
}

/** As much as the child hands on at a time. */
const pipeBytes = 2 ** 20;
const messageCharactersMax = 100_000;

/** @throws EngineError not_found, invalid_argument, forbidden as the child found; cancelled; internal when it could not be confined. */
export async function statPath(root: CopyRoot, path: string, options: CopyOptions): Promise<PathStat> {
  const child = new Child(root, { verb: "stat", path }, {}, options);
  try {
    const stat = await child.stat();
    await child.report();
    return stat;
  } finally {
    await child.end();
  }
}

/**
 * What the path stands for, and its archive, made as it is asked for. Whoever stops reading ends the child; the archive is
 * to be read or returned. @throws as statPath; what is found later, the archive.
 */
export async function readPath(
  root: CopyRoot,
  path: string,
  options: CopyOptions,
): Promise<{ stat: PathStat; archive: AsyncGenerator<Uint8Array, void, void> }> {
  const out = widePipe();
  let child: Child;
  {
    using writer = out.writer;
    try {
      child = new Child(root, { verb: "read", path }, { stdout: writer }, options);
    } catch (error) {
      out.reader.close();
      throw error;
    }
  }
  const reader = new DescriptorReader(out.reader);
  // Also when nobody comes to read any more.
  options.signal.addEventListener("abort", () => void reader.close(), { once: true });
  try {
    return { stat: await child.stat(), archive: pieces(child, reader) };
  } catch (error) {
    await reader.close();
    await child.end();
    throw error;
  }
}

function widePipe(): ReturnType<typeof pipe2> {
  const pipe = pipe2();
  widenPipe(pipe.writer, pipeBytes);
  return pipe;
}

async function* pieces(child: Child, reader: DescriptorReader): AsyncGenerator<Uint8Array, void, void> {
  try {
    for (let piece = await reader.read(); piece !== undefined; piece = await reader.read()) yield piece;
    await child.report();
  } finally {
    await reader.close();
    await child.end();
  }
}

/** Unpacks an archive, compressed or not, into a directory that is there. @throws as statPath; no_space, corrupt. */
export async function writePath(
  root: CopyRoot,
  request: Omit<CopyRequest & { verb: "write" }, "verb">,
  archive: AsyncIterable<Uint8Array>,
  options: CopyOptions,
): Promise<CopyReport> {
  const fed = widePipe();
  let child: Child;
  {
    using reader = fed.reader;
    try {
      child = new Child(root, { verb: "write", ...request }, { stdin: reader }, options);
    } catch (error) {
      fed.writer.close();
      throw error;
    }
  }
  const feeding = feed(archive, new DescriptorWriter(fed.writer)).catch((error: unknown) => {
    // It would take what has come for the whole.
    child.kill();
    throw error;
  });
  feeding.catch(() => undefined); // looked at in its turn
  try {
    const report = await child.report();
    await feeding;
    return report;
  } catch (error) {
    throwIfAborted(options.signal);
    // What ended the archive counts for more than what the child says of its end.
    if (isEngineError(error, "internal") || isEngineError(error, "corrupt")) await settledError(feeding);
    throw error;
  } finally {
    await child.end();
  }
}

/** Throws what `work` has failed with, if it has by now. */
async function settledError(work: Promise<void>): Promise<void> {
  await Promise.race([work, new Promise<void>((resolve) => setImmediate(resolve))]);
}

/** A child that ends early closes the pipe: its own message says why. */
async function feed(archive: AsyncIterable<Uint8Array>, stdin: DescriptorWriter): Promise<void> {
  try {
    for await (const piece of archive) await stdin.write(piece);
  } catch (error) {
    if (!isErrno(error, "EPIPE")) throw error;
  } finally {
    stdin.close();
  }
}

let own: UnpackProgram | undefined;

/** One process, and what it says line by line. */
class Child {
  readonly #process: PlanProcess;
  readonly #messages: DescriptorReader;
  readonly #signal: AbortSignal;
  readonly #decoder = new TextDecoder();
  readonly #onAbort = () => void this.end();
  #said = "";
  #ended = false;

  /** @param streams its standard input and output; null where it has none. They stay the caller's. */
  constructor(
    root: CopyRoot,
    request: CopyRequest,
    streams: { stdin?: Fd; stdout?: Fd },
    { signal, program }: CopyOptions,
  ) {
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
    using stderr = error.writer;
    try {
      const { stdin = stderr, stdout = stderr } = streams;
      this.#process = spawnPlan(plan, { descriptors: { ...root.descriptors, stdin, stdout, stderr } });
    } catch (failure) {
      error.reader.close();
      throw failure;
    }
    this.#messages = new DescriptorReader(error.reader);
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
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

  kill(): void {
    if (!this.#ended) pidfd_send_signal(this.#process.pidfd, SIGKILL);
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.kill();
    this.#ended = true;
    using process = this.#process;
    await process.reaped();
    await this.#messages.close();
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
