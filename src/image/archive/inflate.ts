/** An archive as a whole may be compressed, whatever it holds. Inflating is done by threads of the pool. */
import type { Transform } from "node:stream";
import { EngineError } from "../../core/errors.ts";
import { decompressor, detectCompression, magicBytes } from "../../tar/decompress.ts";

/**
 * The bytes of an archive, inflated where they are compressed: docker takes both.
 * @param bytesMax of the inflated archive: a small one may have been made to fill the disk.
 * @throws EngineError unsupported for a compression that tsd does not have; corrupt where it cannot be inflated;
 * invalid_argument beyond `bytesMax`; whatever the source throws.
 */
export async function* inflated(source: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of pieces(source)) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new EngineError("invalid_argument", `archive has more than ${bytesMax} bytes`);
    yield piece;
  }
}

async function* pieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let start: Uint8Array = new Uint8Array();
  while (start.length < magicBytes) {
    const next = await iterator.next();
    if (next.done) break;
    start = start.length === 0 ? next.value : Buffer.concat([start, next.value]);
  }
  const stream = decompressor(detectCompression(start, "archive"));
  const rest = resumed(start, iterator);
  if (!stream) {
    yield* rest;
    return;
  }
  let failure: unknown;
  const feeding = (async () => {
    try {
      for await (const piece of rest) {
        if (stream.write(piece)) continue;
        await roomIn(stream);
        if (stream.destroyed) return;
      }
      stream.end();
    } catch (error) {
      failure = error;
      stream.destroy(error as Error);
    }
  })();
  try {
    yield* stream as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (failure !== undefined) throw failure;
    throw new EngineError("corrupt", `archive cannot be inflated: ${(error as Error).message}`, { cause: error });
  } finally {
    stream.destroy();
    await feeding;
  }
}

/** Until more can be written, or nothing any more. */
function roomIn(stream: Transform): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("drain", resolve);
  stream.once("close", resolve);
  return promise.finally(() => {
    stream.off("drain", resolve);
    stream.off("close", resolve);
  });
}

async function* resumed(start: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (start.length > 0) yield start;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
