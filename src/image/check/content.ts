/** Are the blobs what their names say, and all there? */
import { open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, Digester, digestAlgorithm } from "../../core/digest.ts";
import { isErrno } from "../../core/errors.ts";
import type { ImageStore } from "../images.ts";
import { leaseKeptMs } from "../leases.ts";
import { throwIfAborted } from "../shared-work.ts";
import { type Finding, withTurns } from "./finding.ts";
import { loseContent } from "./repair.ts";

/** Hashed in one go: at most half a millisecond of the event loop's time. */
const pieceBytes = 256 * 1024;
/** As in collection/unreferenced.ts: what has only just come may be somebody's next step. */
const freshMs = 10 * 60_000;

export interface HashedContent {
  blobs: number;
  bytes: number;
  damaged: Set<Digest>;
}

/** Hashes every blob. @param tell of the bytes hashed so far, and of all. */
export async function* checkHashes(
  store: ImageStore,
  signal: AbortSignal | undefined,
  result: HashedContent,
): AsyncGenerator<Finding | { bytes: number; totalBytes: number }> {
  const blobs = await store.content.list();
  const sizes = store.records.allContent();
  const totalBytes = blobs.reduce((sum, { size }) => sum + size, 0);
  for (const { digest, size } of blobs) {
    const found = await hashFile(store.content.path(digest), digestAlgorithm(digest), signal);
    if (found === undefined) continue; // removed meanwhile
    result.blobs++;
    result.bytes += found.size;
    yield { bytes: result.bytes, totalBytes };
    if (found.digest === digest) continue;
    result.damaged.add(digest);
    const expected = sizes.get(digest);
    const isShort = expected !== undefined && expected !== found.size;
    yield {
      kind: isShort ? "wrong-size" : "corrupt-content",
      severity: "damage",
      object: digest,
      message: isShort
        ? `has ${found.size} bytes where ${expected} are due${usedBy(store, digest)}`
        : `its ${size} bytes have digest ${found.digest}${usedBy(store, digest)}`,
      repair: async () => {
        await store.content.remove(digest);
        return `removed; ${loseContent(store, digest)}`;
      },
    };
  }
}

async function hashFile(
  path: string,
  algorithm: string,
  signal: AbortSignal | undefined,
): Promise<{ digest: Digest; size: number } | undefined> {
  const digester = new Digester(algorithm);
  try {
    await using file = await open(path);
    const buffer = new Uint8Array(pieceBytes);
    for (;;) {
      throwIfAborted(signal);
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return { digest: digester.digest(), size: digester.size };
      digester.update(buffer.subarray(0, bytesRead));
    }
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** What the records count on and is not there. @param damaged has been told of already. */
export async function* checkMissing(store: ImageStore, damaged: ReadonlySet<Digest>): AsyncGenerator<Finding> {
  for await (const digest of withTurns(store.records.allContent().keys())) {
    if (damaged.has(digest) || store.content.has(digest) || !store.records.isReferenced(digest)) continue;
    yield {
      kind: "missing-content",
      severity: "damage",
      object: digest,
      message: `is not in the store${usedBy(store, digest)}`,
      // A pull may have brought it meanwhile.
      repair: async () => (store.content.has(digest) ? "it has come back" : loseContent(store, digest)),
    };
  }
}

/** What lies in content/ and does nobody any good. */
export async function* checkLeftovers(store: ImageStore, damaged: ReadonlySet<Digest>): AsyncGenerator<Finding> {
  const freshFrom = Date.now() - freshMs;
  for (const { digest, size, changedAtMs } of await store.content.list()) {
    if (changedAtMs > freshFrom || damaged.has(digest) || store.isContentNeeded(digest)) continue;
    yield {
      kind: "unreferenced-content",
      severity: "leftover",
      object: digest,
      message: `${size} bytes that no image needs`,
      repair: async () => {
        if (store.isContentNeeded(digest)) return "kept: an image needs it now";
        await store.content.remove(digest);
        return "removed";
      },
    };
  }
  yield* checkIngests(store);
  yield* checkStrayFiles(store);
}

async function* checkIngests(store: ImageStore): AsyncGenerator<Finding> {
  const sizes = store.records.allContent();
  const oldest = Date.now() - leaseKeptMs;
  for (const { name, digest, bytes, size, changedAtMs } of await store.content.ingests()) {
    const expected = digest && sizes.get(digest);
    const isStale = changedAtMs < oldest && !(digest && store.leases.holdsContent(digest));
    const isOversized = expected !== undefined && size > expected;
    const isNeedless = digest !== undefined && store.content.has(digest) && changedAtMs < Date.now() - freshMs;
    if (!isStale && !isOversized && !isNeedless) continue;
    const reason = isOversized
      ? `has ${size} bytes where ${expected} are due`
      : isNeedless
        ? "the whole blob is in the store"
        : `nobody has gone on with it since ${new Date(changedAtMs).toISOString()}`;
    yield {
      kind: "stale-ingest",
      severity: "leftover",
      object: `content/ingest/${name}`,
      message: `a download of ${bytes} bytes: ${reason}`,
      repair: async () => {
        await store.content.removeIngest(name);
        return "removed";
      },
    };
  }
}

/** Files that are neither blobs nor on their way to be some. */
async function* checkStrayFiles(store: ImageStore): AsyncGenerator<Finding> {
  const known = new Set((await store.content.list()).map(({ digest }) => store.content.path(digest)));
  const blobs = join(store.content.root, "blobs");
  for (const algorithm of await readdir(blobs)) {
    for (const name of await readdir(join(blobs, algorithm))) {
      const path = join(blobs, algorithm, name);
      // A temporary file may be somebody's who writes it now.
      if (known.has(path) || (name.endsWith(".tmp") && store.isStarted)) continue;
      // One that has come since.
      if ((await store.content.list()).some(({ digest }) => store.content.path(digest) === path)) continue;
      yield {
        kind: "stray-file",
        severity: "leftover",
        object: `content/blobs/${algorithm}/${name}`,
        message: "is not named by a digest",
        repair: async () => {
          await rm(path, { recursive: true, force: true });
          return "removed";
        },
      };
    }
  }
  const trash = await readdir(join(store.content.root, "trash")).catch((error) => {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  });
  if (trash.length === 0 || store.isStarted) return;
  yield {
    kind: "trash",
    severity: "leftover",
    object: "content/trash",
    message: `${trash.length} files that were being deleted`,
    repair: async () => {
      await store.content.removeTemporary();
      return "deleted";
    },
  };
}

/** `, of image busybox:latest`. */
function usedBy(store: ImageStore, digest: Digest): string {
  const [first, ...more] = store.records.imagesWith(digest);
  if (first === undefined) return "";
  const name = store.records.names(first)[0] ?? first;
  return `, of image ${name}${more.length > 0 ? ` and ${more.length} more` : ""}`;
}
