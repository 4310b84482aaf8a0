/** What lies below a directory takes on the disk. */
import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "./errors.ts";

export interface DiskUsage {
  /** Disk space, not length: holes count nothing, and a file with two names once. */
  bytes: number;
  inodes: number;
}

/** What is in a directory; nothing in one that is not there. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** Files with several names that were counted already, by device and inode. */
export type CountedFiles = Set<string>;

/** Directories read side by side: the rest of the machine has something to do, too. */
const countedAtOnce = 16;

/**
 * Adds up what is below a directory, which may be changing meanwhile; the directory itself is not counted. One that is
 * not there takes nothing.
 */
export async function countBelow(root: string, counted: CountedFiles = new Set()): Promise<DiskUsage> {
  const usage: DiskUsage = { bytes: 0, inodes: 0 };
  let directories = [root];
  while (directories.length > 0) {
    const batch = directories.splice(0, countedAtOnce);
    const found = await Promise.all(batch.map((directory) => countDirectory(directory, usage, counted)));
    directories = directories.concat(...found);
  }
  return usage;
}

/** The same with the file or directory itself. */
export async function countTree(path: string, counted: CountedFiles = new Set()): Promise<DiskUsage> {
  const usage: DiskUsage = { bytes: 0, inodes: 0 };
  const status = await statusOf(path);
  if (status === undefined) return usage;
  add(usage, status, counted);
  return status.isDirectory() ? sum(usage, await countBelow(path, counted)) : usage;
}

export function sum(...parts: DiskUsage[]): DiskUsage {
  return {
    bytes: parts.reduce((total, { bytes }) => total + bytes, 0),
    inodes: parts.reduce((total, { inodes }) => total + inodes, 0),
  };
}

async function countDirectory(path: string, usage: DiskUsage, counted: CountedFiles): Promise<string[]> {
  const below: string[] = [];
  try {
    for (const name of await readdir(path)) {
      const child = join(path, name);
      const status = await statusOf(child);
      if (status === undefined) continue;
      add(usage, status, counted);
      if (status.isDirectory()) below.push(child);
    }
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
  }
  return below;
}

function add(usage: DiskUsage, status: Stats, counted: CountedFiles): void {
  if (status.nlink > 1 && !status.isDirectory()) {
    const file = `${status.dev} ${status.ino}`;
    if (counted.has(file)) return;
    counted.add(file);
  }
  usage.bytes += status.blocks * 512;
  usage.inodes++;
}

async function statusOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
