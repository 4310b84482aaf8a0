import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Digest, digestOf } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import { Connections } from "./connections.ts";
import { type BlobSource, type DownloadOptions, download } from "./download.ts";
import type { GrowingBlob } from "./ingest.ts";
import { chunkBytes } from "./ingest-map.ts";
import { ContentStore } from "./store.ts";

/** What does not repeat itself from chunk to chunk. */
const blob = Buffer.alloc(40 * chunkBytes + 12_345);
for (let at = 0; at + 4 <= blob.length; at += 4) blob.writeUInt32LE(Math.imul(at, 2654435761) >>> 0, at);
const digest = digestOf(blob);
const small = blob.subarray(0, 1000);

interface Asked {
  start: number;
  end: number | undefined;
}

let root: string;
let store: ContentStore;
let asked: Asked[];
/** Requests at this moment, and the most that there were. */
let open: number;
let openMax: number;

beforeEach(() => {
  root = mkdtempSync("/var/tmp/tsd-download-");
  store = new ContentStore(root);
  asked = [];
  open = 0;
  openMax = 0;
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A registry that is `waitMs` away, and gives ranges or does not. @param spoil may end or change a body. */
function registry(
  options: {
    waitMs?: number;
    ranges?: boolean;
    bytes?: Uint8Array;
    spoil?: (request: Asked, count: number) => number;
  } = {},
): BlobSource {
  const { waitMs = 0, ranges = true, bytes = blob, spoil } = options;
  return async (start, end, signal) => {
    const request = { start, end };
    asked.push(request);
    openMax = Math.max(openMax, ++open);
    try {
      await Bun.sleep(waitMs);
      signal.throwIfAborted();
      const offset = ranges ? start : 0;
      const whole = ranges ? bytes.subarray(start, end) : bytes;
      const length = spoil?.(request, asked.length) ?? whole.length;
      return { offset, isRange: ranges && (start > 0 || end !== undefined), body: pieces(whole, length, signal) };
    } finally {
      open--;
    }
  };
}

async function* pieces(bytes: Uint8Array, length: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
  for (let at = 0; at < Math.min(length, bytes.length); at += 65536) {
    await Promise.resolve();
    if (signal.aborted) throw new EngineError("cancelled", "cancelled");
    yield bytes.subarray(at, Math.min(at + 65536, length, bytes.length));
  }
  if (length < bytes.length) throw new EngineError("unavailable", "the connection broke");
}

function fetchBlob(source: BlobSource, options: Partial<DownloadOptions> & { host?: string } = {}): Promise<void> {
  const { host = "registry.example", ...others } = options;
  return download(store, {
    digest,
    size: blob.length,
    source,
    onEvent: () => undefined,
    signal: new AbortController().signal,
    retryDelayMs: 1,
    connections: new Connections().host(host),
    turn: async () => ({ [Symbol.dispose]: () => undefined }),
    sync: async () => undefined,
    ...others,
  });
}

async function refused(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "it succeeded",
    (error: EngineError) => `${error.code}: ${error.message}`,
  );
}

function expectStored(expected: Uint8Array = blob, name: Digest = digest): void {
  expect(Buffer.compare(readFileSync(store.path(name)), expected)).toBe(0);
  expect(readdirSync(join(root, "ingest"))).toEqual([]);
}

const askedBytes = () => asked.reduce((sum, { start, end }) => sum + (end ?? blob.length) - start, 0);

describe("a download", () => {
  test("from far away asks for ranges on several connections, each byte once", async () => {
    await fetchBlob(registry({ waitMs: 20 }));
    expectStored();
    expect(openMax).toBeGreaterThan(1);
    expect(openMax).toBeLessThanOrEqual(4);
    expect(askedBytes()).toBe(blob.length);
  });

  test("from this machine asks for little, one after the other", async () => {
    await fetchBlob(registry(), { host: "127.0.0.1:5000" });
    expectStored();
    expect(openMax).toBe(1);
    expect(asked.length).toBe(41);
  });

  test("of a small blob asks for it as a whole", async () => {
    await fetchBlob(registry({ bytes: small }), { digest: digestOf(small), size: small.length });
    expectStored(small, digestOf(small));
    expect(asked).toEqual([{ start: 0, end: undefined }]);
  });

  test("from a registry without ranges takes the whole blob with the first answer", async () => {
    await fetchBlob(registry({ ranges: false, waitMs: 10 }));
    expectStored();
    expect(asked.length).toBe(1);
  });

  test("goes on with a registry that stops giving ranges in the middle", async () => {
    const [ranged, whole] = [registry({ waitMs: 10 }), registry({ ranges: false, waitMs: 10 })];
    await fetchBlob((...request) => (asked.length < 5 ? ranged : whole)(...request));
    expectStored();
  });

  test("needs no connection beside the one that works", async () => {
    const first = new Set<number>();
    const source = registry({
      waitMs: 10,
      spoil: ({ start, end }) => {
        // Whoever comes while another request is open is sent away.
        if (open > 1) return 0;
        first.add(start);
        return (end ?? blob.length) - start;
      },
    });
    await fetchBlob(source);
    expectStored();
    expect(first.size).toBeGreaterThan(1);
  });

  test("is given up when nothing comes any more, and keeps what came", async () => {
    const source = registry({ spoil: (_, count) => (count > 3 ? 0 : chunkBytes) });
    expect(await refused(fetchBlob(source, { host: "localhost:1" }))).toMatch(/^unavailable: the connection broke/);
    // Three that came, the one that broke, and six more without a byte.
    expect(asked.length).toBe(10);
    asked = [];
    await fetchBlob(registry());
    expectStored();
    expect(asked[0]!.start).toBe(3 * chunkBytes);
    expect(askedBytes()).toBe(blob.length - 3 * chunkBytes);
  });

  test("that is cancelled is continued where it was on every connection", async () => {
    const controller = new AbortController();
    const source = registry({ waitMs: 20 });
    const growing = Promise.withResolvers<GrowingBlob>();
    const fetched = refused(
      fetchBlob(source, {
        signal: controller.signal,
        onEvent: (event) => event.step === "growing" && growing.resolve(event.blob),
      }),
    );
    const seen = await growing.promise;
    while (seen.available < 8 * chunkBytes) await seen.changed();
    controller.abort();
    expect(await fetched).toBe("cancelled: cancelled");
    const had = askedBytes();
    asked = [];
    await fetchBlob(registry());
    expectStored();
    expect(askedBytes()).toBeLessThan(blob.length - 7 * chunkBytes);
    expect(askedBytes() + had).toBeGreaterThanOrEqual(blob.length);
  });

  test("finds what is damaged in what an earlier try left, and starts over", async () => {
    const broken = registry({ spoil: (_, count) => (count > 20 ? 0 : chunkBytes) });
    await refused(fetchBlob(broken, { host: "localhost:1" }));
    const ingest = store.ingestPath(digest);
    const bytes = readFileSync(ingest);
    bytes[10 * chunkBytes + 5]! ^= 1;
    writeFileSync(ingest, bytes);
    asked = [];
    const generations: number[] = [];
    await fetchBlob(registry(), {
      onEvent: (event) => event.step === "growing" && generations.push(event.blob.generation),
    });
    expectStored();
    expect(generations).toEqual([0, 1]);
    expect(askedBytes()).toBe(blob.length - 20 * chunkBytes + blob.length);
  });

  test("does not believe a map whose bytes are gone", async () => {
    await refused(fetchBlob(registry({ spoil: (_, count) => (count > 20 ? 0 : chunkBytes) }), { host: "localhost:1" }));
    writeFileSync(store.ingestPath(digest), "");
    expect(statSync(store.ingestMapPath(digest)).size).toBeGreaterThan(0);
    asked = [];
    await fetchBlob(registry());
    expectStored();
    expect(askedBytes()).toBe(blob.length);
  });

  test("of other bytes than were wanted leaves nothing", async () => {
    const wrong = Buffer.from(blob);
    wrong[chunkBytes]! ^= 1;
    expect(await refused(fetchBlob(registry({ bytes: wrong })))).toMatch(
      /^corrupt: blob sha256:.* verification failed/,
    );
    expect([readdirSync(join(root, "ingest")), store.has(digest)]).toEqual([[], false]);
  });

  test("of more bytes than were wanted leaves nothing", async () => {
    const longer = Buffer.concat([blob, blob]);
    expect(await refused(fetchBlob(registry({ bytes: longer, ranges: false })))).toMatch(/^corrupt: .* more than the/);
    expect([readdirSync(join(root, "ingest")), store.has(digest)]).toEqual([[], false]);
  });

  test("shows how far it has come, without a gap", async () => {
    const seen: number[] = [];
    let watching: Promise<void> | undefined;
    await fetchBlob(registry({ waitMs: 10 }), {
      onEvent: (event) => {
        if (event.step !== "growing") return;
        const { blob: growing } = event;
        watching = (async () => {
          while (growing.available < growing.size) {
            await growing.changed();
            using file = growing.open();
            expect(statSync(`/proc/self/fd/${file.number}`).size).toBeGreaterThanOrEqual(growing.available);
            seen.push(growing.available);
          }
        })();
      },
    });
    await watching;
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(blob.length);
  });
});
