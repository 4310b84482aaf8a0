/** An archive's own bytes, whether it comes compressed or not. */
import { type Compression, detectCompression, magicBytes } from "./decompress.ts";
import { Inflater } from "./inflater.ts";

/** Pieces are valid until the next is asked for. @param what is inflated, for errors. @throws EngineError unsupported, corrupt. */
export async function* inflate(
  input: AsyncIterable<Uint8Array>,
  what?: string,
): AsyncGenerator<Uint8Array, void, void> {
  const iterator = input[Symbol.asyncIterator]();
  let start: Uint8Array = new Uint8Array();
  while (start.length < magicBytes) {
    const next = await iterator.next();
    if (next.done) break;
    start = start.length === 0 ? next.value : Buffer.concat([start, next.value]);
  }
  const compression: Compression = detectCompression(start, what);
  const rest = resumed(start, iterator);
  if (compression === "none") {
    yield* rest;
    return;
  }
  using inflater = new Inflater(compression);
  for await (const piece of rest) yield* inflater.push(piece);
  yield* inflater.end();
}

async function* resumed(start: Uint8Array, iterator: AsyncIterator<Uint8Array>): AsyncIterable<Uint8Array> {
  if (start.length > 0) yield start;
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
}
