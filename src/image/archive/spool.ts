/**
 * Takes an archive in as it comes, in whatever order: large files are staged beside the store's content, small ones kept
 * in memory, all hashed. What looks like a layer is unpacked meanwhile, although nobody knows yet where it belongs.
 */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { type FileHandle, open as openFile, rm } from "node:fs/promises";
import { Cleanup } from "../../core/cleanup.ts";
import { type Digest, Digester, parseDigest } from "../../core/digest.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { type Compression, detectCompression } from "../../tar/decompress.ts";
import { cleanEntryPath, parentOf } from "../../tar/entry-path.ts";
import { printable, type TarEntry, type TarSink } from "../../tar/tar-entry.ts";
import { blockSize } from "../../tar/tar-header.ts";
import type { ImageStore } from "../images.ts";
import type { Lease } from "../leases.ts";
import type { UnpackedAhead } from "../snapshot/layers.ts";

/** Files of an image archive are some for each layer: more than these are there to do harm. */
const entriesMax = 100_000;
/** Held in memory, one and all together; what is beyond is staged. */
const [smallBytes, heldBytesMax] = [2 ** 16, 32 * 2 ** 20];
const linksMax = 8;
/** Of names and what links lead to: they are kept for every entry. */
const nameBytesMax = 32 * 2 ** 20;
/** Read as documents, some of them several times; a small one counts for what it takes to look at it. */
const [documentBytesMax, documentBytesMin] = [2 ** 29, 2 ** 10];
/** Files whose descriptor is open because they are not on the disk yet. */
const syncingMax = 64;
/** Telling what an archive is. Two of them could be read as two different things by two readers. */
const singular = new Set(["index.json", "manifest.json", "oci-layout", "repositories"]);

export interface SpooledFile {
  path: string;
  size: number;
  digest: Digest;
  /** The first block, which tells what it is. */
  start: Uint8Array;
  /** Of a small one. */
  bytes?: Uint8Array;
  /** Of a large one, until it is given its name in the store. */
  staged?: string;
  /** It was in the store already and has not been looked at. */
  isStored?: boolean;
  ahead?: Promise<UnpackedAhead | undefined>;
}

interface Current {
  path: string;
  entry: TarEntry;
  digester: Digester;
  start: Uint8Array[];
  startBytes: number;
  pieces: Uint8Array[];
  isSmall: boolean;
}

type Step = { open: string } | { write: Uint8Array } | { close: SpooledFile };

export interface SpoolOptions {
  lease: Lease;
  signal: AbortSignal;
  /** Is a layer worth unpacking as it comes? It is unpacked later otherwise, if at all. */
  isWanted: (digest: Digest) => boolean;
  /** Told of every large file: bytes so far, and all. */
  onProgress?: (path: string, bytes: number, total: number) => void;
}

export class ArchiveSpool implements TarSink, AsyncDisposable {
  readonly #store: ImageStore;
  readonly #options: SpoolOptions;
  readonly #files = new Map<string, SpooledFile>();
  readonly #links = new Map<string, string>();
  readonly #byDigest = new Map<Digest, SpooledFile>();
  readonly #name = randomBytes(8).toString("hex");
  readonly #stop = new AbortController();
  /** Everything that was ever staged, and may have been given a name since. */
  readonly #staged: string[] = [];
  readonly #syncing: Promise<void>[] = [];
  readonly #ahead: Promise<UnpackedAhead | undefined>[] = [];
  #steps: Step[] = [];
  #handle: FileHandle | undefined;
  #current: Current | undefined;
  #entries = 0;
  #heldBytes = 0;
  #nameBytes = 0;
  #documentBytes = 0;

  constructor(store: ImageStore, options: SpoolOptions) {
    this.#store = store;
    this.#options = options;
  }

  entry(entry: TarEntry): void {
    if (++this.#entries > entriesMax)
      throw new EngineError("invalid_argument", `archive has more than ${entriesMax} entries`);
    const path = pathOf(entry);
    this.#nameBytes += path.length + entry.linkPath.length;
    if (this.#nameBytes > nameBytesMax)
      throw new EngineError("invalid_argument", `archive has more than ${nameBytesMax} bytes of names`);
    if (singular.has(path) && (this.#files.has(path) || this.#links.has(path))) {
      throw new EngineError("invalid_argument", `archive has ${path} twice`);
    }
    if (entry.type === "symlink" || entry.type === "hardlink") this.#link(path, entry);
    if (entry.type !== "file") return;
    if (entry.sparse)
      throw new EngineError("unsupported", `archive entry ${printable(path)}: files with holes are not supported`);
    this.#links.delete(path);
    const claimed = blobDigest(path);
    if (claimed && this.#isStored(claimed, entry.size)) {
      this.#add({ path, size: entry.size, digest: claimed, start: new Uint8Array(), isStored: true });
      return;
    }
    const isSmall = entry.size <= smallBytes && this.#heldBytes + entry.size <= heldBytesMax;
    if (isSmall) this.#heldBytes += entry.size;
    const digester = new Digester(claimed?.slice(0, claimed.indexOf(":")));
    this.#current = { path, entry, digester, start: [], startBytes: 0, pieces: [], isSmall };
    if (!isSmall) this.#steps.push({ open: path });
  }

  data(chunk: Uint8Array): void {
    const current = this.#current;
    if (!current) return; // of a blob that is here already
    current.digester.update(chunk);
    if (current.startBytes < blockSize) {
      const piece = Uint8Array.from(chunk.subarray(0, blockSize - current.startBytes));
      current.start.push(piece);
      current.startBytes += piece.length;
    }
    if (current.isSmall) current.pieces.push(Uint8Array.from(chunk));
    else this.#steps.push({ write: chunk });
  }

  entryEnd(): void {
    const current = this.#current;
    if (!current) return;
    this.#current = undefined;
    const { path, entry, digester } = current;
    const digest = digester.digest();
    const claimed = blobDigest(path);
    if (claimed !== undefined && claimed !== digest) {
      throw new EngineError("corrupt", `archive entry ${printable(path)}: its content has digest ${digest}`);
    }
    const file = { path, size: entry.size, digest };
    if (current.isSmall) {
      const bytes = Buffer.concat(current.pieces);
      this.#add({ ...file, bytes, start: bytes.subarray(0, blockSize) });
    } else this.#steps.push({ close: { ...file, start: Buffer.concat(current.start) } });
  }

  /** Does what the entries so far have left to do: to be awaited before more is read. */
  async drain(): Promise<void> {
    const steps = this.#steps;
    this.#steps = [];
    for (const step of steps) {
      try {
        await this.#do(step);
      } catch (error) {
        throw isErrno(error, "ENOSPC", "EDQUOT") ? wrapError(error, "archive", { stage: "load" }) : error;
      }
    }
    if (this.#current && !this.#current.isSmall) {
      this.#options.onProgress?.(this.#current.path, this.#current.digester.size, this.#current.entry.size);
    }
  }

  /** Everything staged is on the disk. */
  async synced(): Promise<void> {
    await Promise.all(this.#syncing);
  }

  /** The file of that name, through links. @throws EngineError not_found, invalid_argument for links that lead nowhere. */
  file(path: string): SpooledFile {
    let at = cleanPath(path);
    for (let links = 0; ; links++) {
      const link = this.#links.get(at);
      if (link === undefined) break;
      if (links === linksMax)
        throw new EngineError("invalid_argument", `archive entry ${printable(path)}: too many links`);
      at = link;
    }
    const file = this.#files.get(at);
    if (!file) throw new EngineError("not_found", `archive has no file ${printable(path)}`);
    return file;
  }

  has(path: string): boolean {
    return this.#files.has(path) || this.#links.has(path);
  }

  get isEmpty(): boolean {
    return this.#entries === 0;
  }

  byDigest(digest: Digest): SpooledFile | undefined {
    return this.#byDigest.get(digest);
  }

  /** @param bytesMax of what is no document, whatever it says. @throws EngineError invalid_argument. */
  read(file: SpooledFile, bytesMax: number): Uint8Array {
    if (file.size > bytesMax) {
      throw new EngineError(
        "invalid_argument",
        `archive entry ${printable(file.path)}: ${file.size} bytes are more than the ${bytesMax} allowed`,
      );
    }
    this.#documentBytes += Math.max(file.size, documentBytesMin);
    if (this.#documentBytes > documentBytesMax)
      throw new EngineError(
        "invalid_argument",
        "archive says too much of what is in it: its images have too many documents",
      );
    if (file.bytes) return file.bytes;
    return file.isStored ? this.#store.content.read(file.digest) : readFileSync(file.staged!);
  }

  /** The layer unpacked, to be made use of once. */
  async takeAhead(digest: Digest): Promise<UnpackedAhead | undefined> {
    const file = this.#byDigest.get(digest);
    const ahead = await file?.ahead;
    if (file) delete file.ahead;
    return ahead;
  }

  /** Gives what was taken in its name in the store. */
  async keep(file: SpooledFile): Promise<void> {
    const { digest, staged, bytes, isStored } = file;
    if (isStored) return;
    this.#options.lease.add({ content: [digest] });
    if (bytes) await this.#store.content.write(bytes, digest);
    else if (staged && !this.#store.content.has(digest, file.size)) await this.#store.content.adopt(staged, digest);
    file.isStored = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    const cleanup = new Cleanup("an archive");
    for (const path of this.#staged) cleanup.add(`remove ${path}`, () => rm(path, { force: true }));
    for (const ahead of this.#ahead) {
      cleanup.add("discard a layer that was unpacked", async () => {
        const unpacked = await ahead;
        if (unpacked) this.#store.layers.discardAhead(unpacked);
      });
    }
    cleanup.add("wait for the disk", () => Promise.allSettled(this.#syncing));
    cleanup.add("close the file that was being written", () => this.#handle?.close());
    await cleanup.runAndLog();
  }

  #isStored(digest: Digest, size: number): boolean {
    this.#options.lease.add({ content: [digest] });
    return this.#store.content.has(digest, size);
  }

  #link(path: string, entry: TarEntry): void {
    const target =
      entry.type === "hardlink" ? cleanPath(entry.linkPath) : cleanPath(symlinkTarget(path, entry.linkPath));
    this.#files.delete(path);
    this.#links.set(path, target);
  }

  #add(file: SpooledFile): void {
    this.#files.set(file.path, file);
    this.#byDigest.set(file.digest, file);
  }

  async #do(step: Step): Promise<void> {
    if ("open" in step) {
      const path = this.#store.content.stagingPath(`${this.#name}-${this.#staged.length}`);
      this.#staged.push(path);
      this.#handle = await openFile(path, "wx", 0o600);
    } else if ("write" in step) {
      for (let rest = step.write; rest.length > 0; )
        rest = rest.subarray((await this.#handle!.write(rest)).bytesWritten);
    } else await this.#close(step.close);
  }

  async #close(file: SpooledFile): Promise<void> {
    const handle = this.#handle!;
    this.#handle = undefined;
    const staged = this.#staged.at(-1)!;
    const known = this.#byDigest.get(file.digest);
    const syncing = handle.datasync().finally(() => handle.close());
    syncing.catch(() => undefined); // looked at when all have come
    this.#syncing.push(syncing);
    await this.#syncing.at(-syncingMax);
    const spooled: SpooledFile = { ...file, staged };
    if (known?.ahead) spooled.ahead = known.ahead;
    else if (this.#isWorthUnpacking(file)) spooled.ahead = this.#unpack(staged);
    this.#add(spooled);
  }

  #isWorthUnpacking({ start, digest, size }: SpooledFile): boolean {
    return looksLikeLayer(start) && !this.#isStored(digest, size) && this.#options.isWanted(digest);
  }

  /** Undefined where it is no layer after all, or a bad one: what makes use of it unpacks it again, and says so. */
  #unpack(path: string): Promise<UnpackedAhead | undefined> {
    const signal = AbortSignal.any([this.#options.signal, this.#stop.signal]);
    const ahead = this.#store.layers.unpackAhead({ path }, signal).catch((): undefined => undefined);
    this.#ahead.push(ahead);
    return ahead;
  }
}

/** Which compression a layer's archive has. */
export function layerCompression(file: SpooledFile): Compression {
  return detectCompression(file.start.subarray(0, 6), `layer ${printable(file.path)}`);
}

function looksLikeLayer(start: Uint8Array): boolean {
  const bytes = Buffer.from(start);
  if (bytes.toString("latin1", 257, 262) === "ustar") return true;
  const hex = bytes.toString("hex", 0, 4);
  return hex.startsWith("1f8b") || hex === "28b52ffd";
}

/** What the name of a blob in an OCI layout says that its content is. */
function blobDigest(path: string): Digest | undefined {
  const [, algorithm, hex] = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(path) ?? [];
  if (algorithm === undefined) return undefined;
  try {
    return parseDigest(`${algorithm}:${hex}`);
  } catch {
    return undefined; // of no algorithm that anybody could ask for
  }
}

function pathOf(entry: TarEntry): string {
  return cleanPath(entry.path);
}

/** @throws EngineError invalid_argument for one that leaves the archive. */
function cleanPath(path: string): string {
  try {
    return cleanEntryPath(path, "path");
  } catch (error) {
    throw new EngineError("invalid_argument", `archive entry ${printable(path)}: path leaves the archive`, {
      cause: error,
    });
  }
}

/** @throws EngineError invalid_argument for one that leaves the archive. */
function symlinkTarget(path: string, target: string): string {
  if (target.startsWith("/")) {
    throw new EngineError(
      "invalid_argument",
      `archive entry ${printable(path)}: link to ${printable(target)} leaves the archive`,
    );
  }
  const directory = parentOf(path);
  return directory === "" ? target : `${directory}/${target}`;
}
