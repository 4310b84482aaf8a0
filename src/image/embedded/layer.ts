/**
 * The one layer of the embedded image: the same files always make the same archive, so that its digest is theirs
 * and the archive itself need not be kept: it is written again when somebody wants it.
 */
import { open, readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, Digester } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import { emptyEntry } from "../../tar/tar-entry.ts";
import { endOfArchive, padding, tarHeader } from "../../tar/tar-writer.ts";

/** Read in pieces of this size. */
const pieceBytes = 2 ** 18;

/**
 * Archives a directory that holds directories, plain files and symlinks, all owned by root. Names are sorted, and no
 * times of the host's are in it: they would change the digest.
 */
export function layerArchive(root: string): ReadableStream<Uint8Array> {
  const pieces = archiveOf(root);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await pieces.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Digest and size of that archive. */
export async function layerDigest(root: string): Promise<{ digest: Digest; size: number }> {
  const digester = new Digester();
  for await (const piece of archiveOf(root)) digester.update(piece);
  return { digest: digester.digest(), size: digester.size };
}

async function* archiveOf(root: string): AsyncGenerator<Uint8Array, void, void> {
  yield* directory(root, "");
  yield endOfArchive;
}

async function* directory(root: string, path: string): AsyncGenerator<Uint8Array, void, void> {
  const found = await readdir(join(root, path), { withFileTypes: true });
  for (const one of found.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = path === "" ? one.name : `${path}/${one.name}`;
    if (one.isSymbolicLink()) {
      yield tarHeader({
        ...emptyEntry,
        type: "symlink",
        path: name,
        linkPath: await readlink(join(root, name)),
        mode: 0o777,
      });
    } else if (one.isDirectory()) {
      const { mode } = await stat(join(root, name));
      yield tarHeader({ ...emptyEntry, type: "directory", path: `${name}/`, mode: mode & 0o7777 });
      yield* directory(root, name);
    } else yield* file(join(root, name), name);
  }
}

async function* file(path: string, name: string): AsyncGenerator<Uint8Array, void, void> {
  const handle = await open(path, "r");
  try {
    const { mode, size } = await handle.stat();
    yield tarHeader({ ...emptyEntry, path: name, mode: mode & 0o7777, size });
    let written = 0;
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(pieceBytes), 0, pieceBytes);
      if (bytesRead === 0) break;
      written += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    // A layer's files are nobody's to change.
    if (written !== size) throw new EngineError("corrupt", `${path}: had ${size} bytes, and now has ${written}`);
    yield padding(size);
  } finally {
    await handle.close();
  }
}
