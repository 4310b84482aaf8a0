/**
 * The one layer of the embedded image: the same files always make the same archive, so that its digest is theirs
 * and the archive itself need not be kept: it is written again when somebody wants it.
 */
import { createReadStream } from "node:fs";
import { readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { pack } from "tar-stream";
import { type Digest, Digester } from "../../core/digest.ts";

/** No times of the host's: they would change the digest. */
const epoch = new Date(0);

/** Archives a directory that holds directories, plain files and symlinks, all owned by root. Names are sorted. */
export function layerArchive(root: string): ReadableStream<Uint8Array> {
  const archive = pack({ highWaterMark: 2 ** 20 });
  const writing = writeDirectory(archive, root, "").then(() => archive.finalize());
  writing.catch((error: unknown) => archive.destroy(error as Error));
  const iterator = archive[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  return new ReadableStream({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done) controller.close();
      else controller.enqueue(new Uint8Array(next.value));
    },
    cancel: () => archive.destroy(),
  });
}

/** Digest and size of that archive. */
export async function layerDigest(root: string): Promise<{ digest: Digest; size: number }> {
  const digester = new Digester();
  for await (const piece of layerArchive(root)) digester.update(piece);
  return { digest: digester.digest(), size: digester.size };
}

type Pack = ReturnType<typeof pack>;

async function writeDirectory(archive: Pack, root: string, path: string): Promise<void> {
  const entries = await readdir(join(root, path), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.isDirectory()) {
      const { mode } = await stat(join(root, name));
      await writeEntry(archive, { name: `${name}/`, type: "directory", mode: mode & 0o7777 });
      await writeDirectory(archive, root, name);
    } else if (entry.isSymbolicLink()) {
      await writeEntry(archive, { name, type: "symlink", linkname: await readlink(join(root, name)), mode: 0o777 });
    } else await writeFile(archive, root, name);
  }
}

function writeEntry(archive: Pack, header: Parameters<Pack["entry"]>[0]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  archive.entry({ ...header, mtime: epoch, uid: 0, gid: 0 }, (error) => (error ? reject(error) : resolve())).end(null);
  return promise;
}

async function writeFile(archive: Pack, root: string, name: string): Promise<void> {
  const path = join(root, name);
  const { mode, size } = await stat(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const header = { name, type: "file" as const, mode: mode & 0o7777, size, mtime: epoch, uid: 0, gid: 0 };
  const entry = archive.entry(header, (error) => (error ? reject(error) : resolve()));
  // Awaited at the end, unless it is rejected before: whoever read the archive has left.
  promise.catch(() => undefined);
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    if (entry.write(piece)) continue;
    // What nobody reads any more is never drained.
    await Promise.race([new Promise<void>((drained) => entry.once("drain", drained)), promise]);
  }
  entry.end(null);
  await promise;
}
