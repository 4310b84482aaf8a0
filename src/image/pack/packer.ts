/** Starts `tsd pack` for one directory and hands back what it says. The daemon's own event loop reads none of the files. */

import { SIGKILL } from "../../../ffi/constants/process.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { pipe2, pwrite } from "../../../ffi/files.ts";
import { dataMemfd } from "../../../ffi/memory.ts";
import { type PlanProcess, spawnPlan } from "../../../ffi/plan/spawn.ts";
import { pidfd_send_signal } from "../../../ffi/process.ts";
import { DescriptorReader } from "../../../ffi/stream.ts";
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { throwIfAborted } from "../shared-work.ts";
import { sandboxPlan } from "../unpack/sandbox.ts";
import { confinedProgram, type UnpackProgram } from "../unpack/unpacker.ts";
import { parsePackMessage } from "./message-schema.ts";
import type { PackReport, PackRequest } from "./protocol.ts";

/** What is archived: a directory, or layers put together in the place of an empty one. */
export interface PackSource {
  directory: string;
  /** Topmost first. */
  layers?: readonly string[];
}

export interface PackOptions {
  signal?: AbortSignal | undefined;
  /** How the child is started; tests run it from source. */
  program?: UnpackProgram | undefined;
}

const messageCharactersMax = 100_000;

/**
 * Archives into an open file, which stays the caller's.
 * @throws EngineError as the child found, no_space, cancelled; internal when it could not be confined or died.
 */
export async function packInto(
  source: PackSource,
  request: PackRequest,
  file: Fd,
  options: PackOptions = {},
): Promise<PackReport> {
  throwIfAborted(options.signal);
  return accompany(start(source, request, file, options.program), options.signal);
}

/**
 * Archives into a stream of pieces, made as they are asked for. Whoever stops reading ends the child.
 * @throws as packInto, when the last piece has come.
 */
export async function* packStream(
  source: PackSource,
  request: PackRequest,
  options: PackOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  throwIfAborted(options.signal);
  const out = pipe2();
  let started: Started;
  {
    using writer = out.writer;
    try {
      started = start(source, request, writer, options.program);
    } catch (error) {
      out.reader.close();
      throw error;
    }
  }
  const reader = new DescriptorReader(out.reader);
  const stopped = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stopped.signal]) : stopped.signal;
  const ended = accompany(started, signal);
  ended.catch(() => undefined); // looked at in its turn
  try {
    for (let piece = await reader.read(); piece !== undefined; piece = await reader.read()) yield piece;
    await ended;
  } finally {
    stopped.abort();
    await reader.close();
    await ended.catch(() => undefined);
  }
}

interface Started {
  child: PlanProcess;
  messages: DescriptorReader;
}

let own: UnpackProgram | undefined;

function start(source: PackSource, request: PackRequest, stdout: Fd, program: UnpackProgram | undefined): Started {
  own ??= program === undefined ? confinedProgram("pack") : undefined;
  const { command, readable } = program ?? own!;
  const { directory: target, layers } = source;
  const plan = sandboxPlan({ target, isReadOnly: true, readable, command, ...(layers && { layers }) });
  using stdin = requestFile(request);
  const err = pipe2();
  using stderr = err.writer;
  try {
    return {
      child: spawnPlan(plan, { descriptors: { stdin, stdout, stderr } }),
      messages: new DescriptorReader(err.reader),
    };
  } catch (error) {
    err.reader.close();
    throw error;
  }
}

/** Not a word of the command line, which has room for 128 KiB: a container may have made any number of directories opaque. */
function requestFile(request: PackRequest): Fd {
  const file = dataMemfd("tsd-pack");
  try {
    pwrite(file, Buffer.from(JSON.stringify(request)), 0);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Until the child has ended, by itself or because `signal` says so. */
async function accompany({ child, messages }: Started, signal: AbortSignal | undefined): Promise<PackReport> {
  using process = child;
  const kill = () => pidfd_send_signal(process.pidfd, SIGKILL);
  signal?.addEventListener("abort", kill, { once: true });
  if (signal?.aborted) kill();
  try {
    const said = await tail(messages);
    throwIfAborted(signal);
    const last = said.trimEnd().split("\n").at(-1)!;
    const message = last.startsWith("{") ? parsePackMessage(last) : undefined;
    if (message?.kind === "report") return message.report;
    if (message?.kind === "error") throw new EngineError(message.code, message.message, message.details);
    throw new EngineError("internal", `packing child: ${howItEnded(process, said)}`, { stage: "pack" });
  } catch (error) {
    if (isEngineError(error)) throw error;
    throw new EngineError("internal", `packing child: ${errorMessage(error)}`, { stage: "pack", cause: error });
  } finally {
    signal?.removeEventListener("abort", kill);
    kill();
    await process.reaped();
    await messages.close();
  }
}

/** What the plan, the program or the kernel did. */
function howItEnded(process: PlanProcess, said: string): string {
  const failure = process.failure();
  if (failure) return `cannot be confined: ${failure.error.message}`;
  return said.trim() === "" ? "ended without a word" : said.trim();
}

async function tail(reader: DescriptorReader): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for (let piece = await reader.read(); piece !== undefined; piece = await reader.read()) {
    text = (text + decoder.decode(piece, { stream: true })).slice(-messageCharactersMax);
  }
  return text;
}
