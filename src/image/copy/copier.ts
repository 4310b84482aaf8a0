/** Starts `tsd copy` for one request and hands on what it says. The daemon's own event loop touches none of the files. */
import { pipe2, widenPipe } from "../../../ffi/files.ts";
import { DescriptorReader, DescriptorWriter } from "../../../ffi/stream.ts";
import { withEnding } from "../../core/ending.ts";
import { isEngineError } from "../../core/errors.ts";
import { throwIfAborted } from "../shared-work.ts";
import { CopyChild, type CopyOptions, type CopyRoot } from "./child.ts";
import { type Feeding, feed } from "./feed.ts";
import type { CopyReport, CopyRequest, PathStat } from "./protocol.ts";
import { Turns } from "./turns.ts";

/** As much as the child hands on at a time. */
const pipeBytes = 2 ** 20;

/** Each on its own: what is read of one container is written to another, and both may ask for a path before. */
const turns: Record<CopyRequest["verb"], Turns> = {
  stat: new Turns("requests for paths of containers"),
  read: new Turns("copies out of containers"),
  write: new Turns("copies into containers"),
};

/** What is read, and what it stands for. */
export interface Reading {
  stat: PathStat;
  /** Made as it is asked for. Whoever stops reading ends the child; it is to be read to its end, or returned. */
  archive: AsyncGenerator<Uint8Array, void, void>;
  /** Resolves when the child has ended, and with it its hold on the container's mounts. */
  over: Promise<void>;
}

/** @throws EngineError not_found, invalid_argument, forbidden as the child found; cancelled; internal when it could not be confined. */
export async function statPath(root: CopyRoot, path: string, options: CopyOptions): Promise<PathStat> {
  const turn = await turns.stat.take(options.signal);
  const child = CopyChild.start(root, { verb: "stat", path }, {}, options, turn);
  try {
    const stat = await child.stat();
    await child.report();
    return stat;
  } finally {
    await child.end();
  }
}

/** @throws as statPath; what is found later, the archive. */
export async function readPath(root: CopyRoot, path: string, options: CopyOptions): Promise<Reading> {
  const turn = await turns.read.take(options.signal);
  const out = pipeFor(turn);
  using stdout = out.writer;
  using unread = out.reader;
  const child = CopyChild.start(root, { verb: "read", path }, { stdout }, options, turn);
  stdout.close();
  const reader = new DescriptorReader(unread);
  const over = Promise.withResolvers<void>();
  const end = async () => {
    options.signal.removeEventListener("abort", onAbort);
    await reader.close();
    await child.end();
    over.resolve();
  };
  // Also when nobody comes to read any more.
  const onAbort = () => void end();
  options.signal.addEventListener("abort", onAbort, { once: true });
  try {
    return { stat: await child.stat(), archive: withEnding(pieces(child, reader), end), over: over.promise };
  } catch (error) {
    await end();
    throw error;
  }
}

async function* pieces(child: CopyChild, reader: DescriptorReader): AsyncGenerator<Uint8Array, void, void> {
  for (let piece = await reader.read(); piece !== undefined; piece = await reader.read()) yield piece;
  await child.report();
}

/** Unpacks an archive, compressed or not, into a directory that is there. @throws as statPath; no_space, corrupt, timeout. */
export async function writePath(
  root: CopyRoot,
  request: Omit<CopyRequest & { verb: "write" }, "verb">,
  archive: AsyncIterable<Uint8Array>,
  options: CopyOptions,
): Promise<CopyReport> {
  const turn = await turns.write.take(options.signal);
  const fed = pipeFor(turn);
  using stdin = fed.reader;
  using unfed = fed.writer;
  const child = CopyChild.start(root, { verb: "write", ...request }, { stdin }, options, turn);
  stdin.close();
  const feeding = feed(archive, new DescriptorWriter(unfed), options.silenceMs);
  // It would take what has come for the whole.
  feeding.done.catch(() => child.end());
  try {
    const report = await child.report();
    await feeding.done;
    return report;
  } catch (error) {
    throwIfAborted(options.signal);
    // What ended the archive counts for more than what the child says of its end.
    if (isEngineError(error, "internal") || isEngineError(error, "corrupt")) await settledError(feeding);
    throw error;
  } finally {
    feeding.stop();
    await child.end();
  }
}

/** Throws what it has failed with, if it has by now. */
async function settledError({ done }: Feeding): Promise<void> {
  await Promise.race([done, new Promise<void>((resolve) => setImmediate(resolve))]);
}

/** @param turn is disposed of when there is none. */
function pipeFor(turn: Disposable): ReturnType<typeof pipe2> {
  try {
    const pipe = pipe2();
    widenPipe(pipe.writer, pipeBytes);
    return pipe;
  } catch (error) {
    turn[Symbol.dispose]();
    throw error;
  }
}
