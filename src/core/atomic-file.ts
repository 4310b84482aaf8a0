import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { wrapError } from "./errors.ts";

/**
 * Writes a file so that SIGKILL or power loss leaves either the old content or the new, whole: a temporary
 * name in the same directory, fsync, rename, fsync of the directory.
 * @throws EngineError that names the file; no_space when the disk is full.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", mode);
    await closing(file, async () => {
      await file.writeFile(data);
      await file.sync();
    });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw wrapError(error, `write ${path}`);
  }
  await syncDirectory(dirname(path));
}

/** Is it what a writer that was killed has left? */
export function isTemporary(name: string): boolean {
  return /\.[0-9a-f]{12}\.tmp$/.test(name);
}

/** Makes the names in a directory durable: fsync(2), "the directory containing the file". */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  await closing(directory, () => directory.sync());
}

async function closing(file: FileHandle, use: () => Promise<void>): Promise<void> {
  try {
    await use();
  } finally {
    await file.close();
  }
}
