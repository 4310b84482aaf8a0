/** Starts `tsd unpack` for one layer and hands back what it says. The daemon's own event loop does none of the work. */

import { dirname } from "node:path";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import { SIGKILL } from "../../../ffi/constants/process.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open, pipe2 } from "../../../ffi/files.ts";
import { type PlanProcess, spawnPlan } from "../../../ffi/plan/spawn.ts";
import { pidfd_send_signal } from "../../../ffi/process.ts";
import { DescriptorReader, DescriptorWriter } from "../../../ffi/stream.ts";
import { EngineError, errorMessage, isEngineError, isErrno } from "../../core/errors.ts";
import { selfCommand } from "../../core/self.ts";
import type { GrowingBlob } from "../content/ingest.ts";
import { neededFiles } from "../embedded/libraries.ts";
import { throwIfAborted } from "../shared-work.ts";
import type { Feeding } from "./feeding.ts";
import { parseUnpackMessage } from "./message-schema.ts";
import type { UnpackMessage, UnpackReport, UnpackRequest } from "./protocol.ts";
import { readOnlyFile } from "./read-only-file.ts";
import { sandboxPlan, sandboxTarget } from "./sandbox.ts";

export interface UnpackOptions {
  /** The layer: a file, one that grows, or its bytes as they are made. */
  source: { path: string } | { blob: GrowingBlob; feeding: Feeding } | ReadableStream<Uint8Array>;
  /** Compressed bytes that were read so far. */
  onProgress?: (bytes: number) => void;
  signal?: AbortSignal;
  /** How the child is started; tests run it from source. */
  program?: UnpackProgram | undefined;
}

/** A program, and the files and directories that it needs to run. */
export interface UnpackProgram {
  command: readonly string[];
  readable: readonly string[];
}

const stderrCharactersMax = 2000;
/** A report names the directories that need more to be done: of a layer of a million some 100 MB. */
const lineCharactersMax = 2 ** 27;

/** A mode of this executable, to be run confined. */
export function confinedProgram(mode: "unpack" | "pack" | "copy"): UnpackProgram {
  return unpackProgram(selfCommand(mode));
}

/** This executable and what it is linked with; run from source, the project's directory as well. */
export function unpackProgram(command: readonly string[] = selfCommand("unpack")): UnpackProgram {
  const [executable, ...args] = command as [string, ...string[]];
  const script = args.find((argument) => argument.endsWith("/src/main.ts"));
  const source = script === undefined ? [] : [dirname(dirname(script))];
  return { command, readable: [executable, ...neededFiles(executable).map(({ path }) => path), ...source] };
}

/**
 * Unpacks a layer into an existing directory. What it has written is not on the disk yet.
 * @throws EngineError corrupt, invalid_argument, no_space, unsupported as the child found; cancelled; internal when
 * the child could not be confined or died without a word.
 */
export async function unpackLayer(request: UnpackRequest, options: UnpackOptions): Promise<UnpackReport> {
  const { source, signal, onProgress } = options;
  throwIfAborted(signal);
  const { child, stdin, stdout, stderr } = start(request, options);
  using process = child;
  const kill = () => {
    if (!process.pidfd.closed) pidfd_send_signal(process.pidfd, SIGKILL);
  };
  signal?.addEventListener("abort", kill, { once: true });
  const input = source instanceof ReadableStream ? source.getReader() : undefined;
  try {
    const feeding = input ? feed(input, stdin!) : "feeding" in source ? source.feeding.run(stdin!) : undefined;
    // Looked at when the child has ended; without more to read it ends.
    feeding?.catch(kill);
    const onHungry = () => "feeding" in source && source.feeding.onHungry();
    const [last, said] = await Promise.all([readMessages(stdout, onProgress, onHungry), tail(stderr)]);
    throwIfAborted(signal);
    if ("feeding" in source) source.feeding[Symbol.dispose]();
    await feeding;
    if (last?.kind === "report") return last.report;
    if (last?.kind === "error") throw new EngineError(last.code, last.message, last.details);
    throw new EngineError("internal", `unpacking child: ${howItEnded(process, said)}`, { stage: "unpack" });
  } catch (error) {
    if (isEngineError(error)) throw error;
    throw new EngineError("internal", `unpacking child: ${errorMessage(error)}`, { stage: "unpack", cause: error });
  } finally {
    signal?.removeEventListener("abort", kill);
    // It has closed its output, or said something senseless: whatever it still does is of no interest.
    kill();
    await process.reaped();
    await Promise.all([stdout.close(), stderr.close(), stdin?.close(), input?.cancel()]);
  }
}

interface Started {
  child: PlanProcess;
  stdin: DescriptorWriter | undefined;
  stdout: DescriptorReader;
  stderr: DescriptorReader;
}

let own: UnpackProgram | undefined;

function ownProgram(): UnpackProgram {
  own ??= unpackProgram();
  return own;
}

function start(request: UnpackRequest, { source, program }: UnpackOptions): Started {
  const isGrowing = "feeding" in source;
  using file = isGrowing ? source.blob.open() : "path" in source ? open(source.path, O_RDONLY) : undefined;
  // What is stored has been verified, or will be: the child is not to change it.
  using shown = file && readOnlyFile(file);
  const [layer, input] = isGrowing ? [shown, undefined] : [undefined, shown];
  const fed = input === undefined ? pipe2() : undefined;
  using fedReader = fed?.reader;
  const out = pipe2();
  const err = pipe2();
  using outWriter = out.writer;
  using errWriter = err.writer;
  try {
    const { command, readable } = program ?? ownProgram();
    const words = [...command, JSON.stringify({ ...request, target: sandboxTarget, isGrowing })];
    const plan = sandboxPlan({ target: request.target, readable, hasLayer: isGrowing, command: words });
    const stdin = (input ?? fedReader) as Fd;
    const descriptors = { stdin, stdout: outWriter, stderr: errWriter, ...(layer && { layer }) };
    const child = spawnPlan(plan, { descriptors });
    return {
      child,
      stdin: fed && new DescriptorWriter(fed.writer),
      stdout: new DescriptorReader(out.reader),
      stderr: new DescriptorReader(err.reader),
    };
  } catch (error) {
    for (const fd of [fed?.writer, out.reader, err.reader]) fd?.close();
    throw error;
  }
}

/** What the plan, the program or the kernel did. */
function howItEnded(process: PlanProcess, said: string): string {
  const failure = process.failure();
  if (failure) return `cannot be confined: ${failure.error.message}`;
  return said === "" ? "ended without a word" : said;
}

/** What Bun's own types and those of node:stream/web have in common. */
interface StreamReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
}

/** A child that ends early, because the layer is bad, closes the pipe: its own message says why. */
async function feed(source: StreamReader, stdin: DescriptorWriter): Promise<void> {
  try {
    for (let piece = await source.read(); piece.value !== undefined; piece = await source.read()) {
      await stdin.write(piece.value);
    }
  } catch (error) {
    if (!isErrno(error, "EPIPE")) throw error;
  } finally {
    await stdin.close();
  }
}

/** @throws Error for a line that has no end: whoever writes it has seen hostile bytes. */
async function* linesOf(reader: DescriptorReader): AsyncIterable<string> {
  const decoder = new TextDecoder();
  // A report may be long: what has come of it is not looked through again with every piece.
  let pieces: string[] = [];
  let characters = 0;
  for (let read = await reader.read(); read !== undefined; read = await reader.read()) {
    const [rest, ...next] = decoder.decode(read, { stream: true }).split("\n") as [string, ...string[]];
    pieces.push(rest);
    characters += rest.length;
    for (const piece of next) {
      yield pieces.join("");
      pieces = [piece];
      characters = piece.length;
    }
    if (characters > lineCharactersMax)
      throw new Error(`it says more than ${lineCharactersMax} characters in one line`);
  }
  if (characters > 0) yield pieces.join("");
}

/** The last message; what is before it is progress. */
async function readMessages(
  stdout: DescriptorReader,
  onProgress: UnpackOptions["onProgress"],
  onHungry: () => void,
): Promise<UnpackMessage | undefined> {
  let last: UnpackMessage | undefined;
  for await (const line of linesOf(stdout)) {
    last = parseUnpackMessage(line);
    if (last.kind === "progress") onProgress?.(last.bytes);
    if (last.kind === "hungry") onHungry();
  }
  return last;
}

async function tail(stderr: DescriptorReader): Promise<string> {
  let text = "";
  for await (const line of linesOf(stderr)) text = `${text}${line}\n`.slice(-stderrCharactersMax);
  return text.trim();
}
