/**
 * Content by digest, as an OCI image layout (image-layout.md): `blobs/<algorithm>/<hex>`, which skopeo and others
 * read as it lies there. A blob under its name is whole, verified and on the disk; what is not yet so is an ingest.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, type Stats, statSync, writeFileSync } from "node:fs";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { syncDirectory, writeFileAtomic } from "../../core/atomic-file.ts";
import { type Digest, Digester, digestAlgorithm, digestHex, digestOf, parseDigest } from "../../core/digest.ts";
import { EngineError, isErrno } from "../../core/errors.ts";

export interface Ingest {
  /** Of the file. */
  name: string;
  /** Of the blob that it is to become; undefined for a file of another name. */
  digest: Digest | undefined;
  /** On the disk. */
  bytes: number;
  /** Of the file. */
  size: number;
  changedAtMs: number;
}

const stagingPrefix = "staged-";
const mapSuffix = ".map";
const layoutFile = '{"imageLayoutVersion":"1.0.0"}';

export class ContentStore {
  readonly root: string;

  /** @param root the layout's directory; it is made where it is missing. */
  constructor(root: string) {
    this.root = root;
    mkdirSync(join(root, "blobs", "sha256"), { recursive: true, mode: 0o700 });
    mkdirSync(join(root, "ingest"), { recursive: true, mode: 0o700 });
    const marker = join(root, "oci-layout");
    if (!existsSync(marker)) writeFileSync(marker, layoutFile, { mode: 0o600 });
  }

  path(digest: Digest): string {
    return join(this.root, "blobs", digestAlgorithm(digest), digestHex(digest));
  }

  /** Where a blob grows while it is fetched: by digest, so that the next try finds it. */
  ingestPath(digest: Digest): string {
    return join(this.root, "ingest", `${digestAlgorithm(digest)}-${digestHex(digest)}`);
  }

  /** The map of what is there of it (ingest-map.ts). */
  ingestMapPath(digest: Digest): string {
    return `${this.ingestPath(digest)}${mapSuffix}`;
  }

  /** Is the blob there, with that many bytes? */
  has(digest: Digest, size?: number): boolean {
    const status = statSync(this.path(digest), { throwIfNoEntry: false });
    return status !== undefined && (size === undefined || status.size === size);
  }

  /** Bytes of the blob; undefined when it is not there. */
  size(digest: Digest): number | undefined {
    return statSync(this.path(digest), { throwIfNoEntry: false })?.size;
  }

  /**
   * A small blob, verified: a manifest or a configuration.
   * @throws EngineError not_found, corrupt.
   */
  read(digest: Digest): Uint8Array {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(this.path(digest));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      throw new EngineError("not_found", `content ${digest} is not in the store`, { cause: error });
    }
    const actual = digestOf(bytes, digestAlgorithm(digest));
    if (actual !== digest) throw new EngineError("corrupt", `content ${digest} is damaged: it has digest ${actual}`);
    return bytes;
  }

  /** Stores a small blob, over a damaged one of that name. @throws EngineError corrupt when it has another digest. */
  async write(bytes: Uint8Array, digest: Digest): Promise<void> {
    const actual = digestOf(bytes, digestAlgorithm(digest));
    if (actual !== digest) throw new EngineError("corrupt", `content has digest ${actual}, not ${digest}`);
    if (this.has(digest, bytes.length) && Buffer.from(bytes).equals(readFileSync(this.path(digest)))) return;
    this.#makeAlgorithmDirectory(digest);
    await writeFileAtomic(this.path(digest), bytes);
  }

  /** Where something grows whose digest is not known yet. */
  stagingPath(name: string): string {
    return join(this.root, "ingest", `${stagingPrefix}${name}`);
  }

  /** Gives a staged file, which was hashed and is on the disk, its name. */
  async adopt(staged: string, digest: Digest): Promise<void> {
    this.#makeAlgorithmDirectory(digest);
    await rename(staged, this.path(digest));
    await syncDirectory(join(this.root, "blobs", digestAlgorithm(digest)));
  }

  /** Stores a blob that is made as it is read. @throws EngineError corrupt when it has another digest or size. */
  async writeStream(
    bytes: AsyncIterable<Uint8Array>,
    { digest, size }: { digest: Digest; size: number },
  ): Promise<void> {
    const staged = this.stagingPath(randomBytes(8).toString("hex"));
    const digester = new Digester(digestAlgorithm(digest));
    try {
      const file = await open(staged, "wx", 0o600);
      try {
        for await (const piece of bytes) {
          digester.update(piece);
          for (let rest = piece; rest.length > 0; ) rest = rest.subarray((await file.write(rest)).bytesWritten);
        }
        await file.datasync();
      } finally {
        await file.close();
      }
      const actual = digester.digest();
      if (actual !== digest || digester.size !== size) {
        throw new EngineError("corrupt", `content ${digest}: made anew it has digest ${actual}`);
      }
      await this.adopt(staged, digest);
    } catch (error) {
      await rm(staged, { force: true });
      throw error;
    }
  }

  /** Removes what a killed daemon had staged: nobody can go on with it. */
  async removeStaged(): Promise<void> {
    for (const name of await readdir(join(this.root, "ingest"))) {
      if (name.startsWith(stagingPrefix)) await rm(join(this.root, "ingest", name), { force: true });
    }
  }

  /** Deletes what there is of a blob that nobody fetches, on a full disk too. At once: nobody may come for it meanwhile. */
  discardIngest(digest: Digest): void {
    for (const path of [this.ingestPath(digest), this.ingestMapPath(digest)]) rmSync(path, { force: true });
  }

  /** Gives a verified ingest, whose data is on the disk, its name. */
  async commit(digest: Digest): Promise<void> {
    this.#makeAlgorithmDirectory(digest);
    await rename(this.ingestPath(digest), this.path(digest));
    await syncDirectory(join(this.root, "blobs", digestAlgorithm(digest)));
  }

  /**
   * Out of sight before this first waits, so that whoever has looked whether it is needed is still right; deleted then.
   * A missing one is no error.
   */
  async remove(digest: Digest): Promise<void> {
    const trashed = this.#trash(this.path(digest));
    if (trashed !== undefined) await rm(trashed, { force: true });
  }

  /** Takes a file out of sight at once. @returns where it is to be deleted; undefined when it is missing. */
  #trash(path: string): string | undefined {
    const trash = join(this.root, "trash");
    mkdirSync(trash, { recursive: true, mode: 0o700 });
    const trashed = join(trash, `${basename(path)}-${randomBytes(4).toString("hex")}`);
    try {
      renameSync(path, trashed);
      return trashed;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** What has been fetched of blobs that are not whole yet; the map beside the bytes of one counts with them. */
  async ingests(): Promise<Ingest[]> {
    const directory = join(this.root, "ingest");
    const names = new Set(await readdir(directory));
    const found: Ingest[] = [];
    for (const name of names) {
      if (name.endsWith(mapSuffix) && names.has(name.slice(0, -mapSuffix.length))) continue;
      const status = await statUnless(join(directory, name));
      if (!status) continue; // it became whole meanwhile
      const map = await statUnless(join(directory, `${name}${mapSuffix}`));
      const text = name.replace("-", ":").replace(/\..*$/, "");
      const digest = isDigest(text) ? text : undefined;
      const bytes = (status.blocks + (map?.blocks ?? 0)) * 512;
      found.push({ name, digest, bytes, size: status.size, changedAtMs: status.mtimeMs });
    }
    return found;
  }

  /** Out of sight before this first waits, as `remove`. */
  async removeIngest(name: string): Promise<void> {
    const path = join(this.root, "ingest", name);
    for (const trashed of [this.#trash(`${path}${mapSuffix}`), this.#trash(path)]) {
      if (trashed !== undefined) await rm(trashed, { recursive: true, force: true });
    }
  }

  /** All blobs, with the time of their last change in ms since 1970. */
  async list(): Promise<{ digest: Digest; size: number; changedAtMs: number }[]> {
    const found: { digest: Digest; size: number; changedAtMs: number }[] = [];
    for (const algorithm of await readdir(join(this.root, "blobs"))) {
      for (const name of await readdir(join(this.root, "blobs", algorithm))) {
        if (!isDigest(`${algorithm}:${name}`)) continue;
        const status = await statUnless(join(this.root, "blobs", algorithm, name));
        if (!status) continue; // it went meanwhile
        found.push({ digest: `${algorithm}:${name}`, size: status.size, changedAtMs: status.mtimeMs });
      }
    }
    return found;
  }

  /** Removes temporary files and trash that a killed daemon left. Not to be called while anything is written. */
  async removeTemporary(): Promise<void> {
    await rm(join(this.root, "trash"), { recursive: true, force: true });
    const directories = (await readdir(join(this.root, "blobs"))).map((algorithm) => join("blobs", algorithm));
    for (const directory of [".", ...directories]) {
      for (const name of await readdir(join(this.root, directory))) {
        if (name.endsWith(".tmp")) await rm(join(this.root, directory, name));
      }
    }
  }

  #makeAlgorithmDirectory(digest: Digest): void {
    mkdirSync(join(this.root, "blobs", digestAlgorithm(digest)), { recursive: true, mode: 0o700 });
  }
}

async function statUnless(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function isDigest(text: string): text is Digest {
  try {
    return parseDigest(text) === text;
  } catch {
    return false;
  }
}
