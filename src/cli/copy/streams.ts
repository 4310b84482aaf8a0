/** Archives on their way: entries under other names, and the size that docker says a copy has. */

import type { TarEntry, TarSink } from "../../tar/tar-entry.ts";
import { blockSize } from "../../tar/tar-header.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { endOfArchive, padding, storedSize, tarHeader } from "../../tar/tar-writer.ts";

/** Names of an archive's first part and of all below it; byte strings. */
export interface Renaming {
  from: string;
  to: string;
}

/** Hands entries on, under other names where the archive is renamed. */
export class RenamingSink implements TarSink {
  readonly #sink: TarSink;
  readonly #from: string;
  readonly #to: string;

  constructor(sink: TarSink, { from, to }: Renaming) {
    this.#sink = sink;
    this.#from = from;
    this.#to = to;
  }

  entry(entry: TarEntry): void {
    const linkPath = entry.type === "hardlink" ? this.#renamed(entry.linkPath) : entry.linkPath;
    this.#sink.entry({ ...entry, path: this.#renamed(entry.path), linkPath });
  }

  data(chunk: Uint8Array, offset: number): void {
    this.#sink.data(chunk, offset);
  }

  entryEnd(): void {
    this.#sink.entryEnd();
  }

  /** Of the root the names begin with a slash, of a directory's content with `./`. */
  #renamed(path: string): string {
    const from = this.#from;
    if (from === "/" && path.startsWith("/")) return `${this.#to}${path}`;
    if (path === from || path.startsWith(`${from}/`)) return this.#to + path.slice(from.length);
    return path;
  }
}

/** Counts what a plain archive of the entries would have, whatever extended headers this one has. */
export class CountingSink implements TarSink {
  readonly #sink: TarSink;
  readonly #onBytes: (bytes: number) => void;
  #rest = 0;

  constructor(sink: TarSink, onBytes: (bytes: number) => void) {
    this.#sink = sink;
    this.#onBytes = onBytes;
    onBytes(endOfArchive.length);
  }

  entry(entry: TarEntry): void {
    this.#sink.entry(entry);
    const stored = entry.type === "file" ? entry.size : 0;
    this.#rest = stored + padding(stored).length;
    this.#onBytes(blockSize);
  }

  data(chunk: Uint8Array, offset: number): void {
    this.#sink.data(chunk, offset);
    this.#rest -= chunk.length;
    this.#onBytes(chunk.length);
  }

  entryEnd(): void {
    this.#sink.entryEnd();
    this.#onBytes(this.#rest);
    this.#rest = 0;
  }
}

/** The archive with its entries under other names. @param through what looks at the entries as they pass. */
export async function* rewritten(
  archive: AsyncIterable<Uint8Array>,
  through: (sink: TarSink) => TarSink,
): AsyncGenerator<Uint8Array, void, void> {
  let pieces: Uint8Array[] = [];
  let stored = 0;
  const reader = new TarReader(
    through({
      entry: (entry) => {
        stored = storedSize(entry);
        pieces.push(tarHeader(entry));
      },
      // The reader's memory is used again.
      data: (chunk) => pieces.push(Buffer.from(chunk)),
      entryEnd: () => pieces.push(padding(stored)),
    }),
  );
  for await (const piece of archive) {
    reader.write(piece);
    yield* pieces;
    pieces = [];
  }
  reader.end();
  yield* pieces;
  yield endOfArchive;
}

/** What fetch sends: it asks for a piece when it has sent the one before. */
export function streamOf(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
