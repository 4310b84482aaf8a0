/** What everything below the root takes: each byte and each inode under one heading, so that nothing is left to guess. */
import { lstat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { RootUsage, RootUsageRow } from "../../api/schema/disk-usage.ts";
import { type CountedFiles, countTree, type DiskUsage, namesIn, sum } from "../../core/disk-usage.ts";
import { isErrno } from "../../core/errors.ts";
import type { CountedUsage } from "../../image/store-usage.ts";
import type { EngineContext } from "../context.ts";
import { ownUsage } from "./own-usage.ts";

/** In no certain order while things change; of a root at rest the total is du's. */
export async function measureRoot(context: EngineContext): Promise<RootUsage> {
  const { layout, images } = context;
  const counted: CountedFiles = new Set();
  const store = await images.measure(counted);
  const { logs, files } = await measureContainers(context, counted);
  const volumes = await measureVolumes(join(layout.root, "volumes"), counted);
  const rest = await measureRest(layout.root, counted);
  const rows: RootUsageRow[] = [
    row("Image content", store.content),
    row("Image layers", store.layers),
    row("Container layers", store.containers),
    row("Container files", files),
    row("Container logs", logs),
    row("Volumes", volumes),
    row("Unfinished pulls and loads", store.unfinished),
    row("Unreferenced", store.unreferenced),
    row("Trash", store.trash),
    row("Database", rest.database),
    row("Other", { ...sum(store.other, rest.other), count: store.other.count + rest.other.count }),
  ];
  const { blocks, bsize, bavail, files: inodes, ffree } = await statfs(layout.root);
  return {
    Root: layout.root,
    Rows: rows,
    TotalBytes: rows.reduce((total, { Bytes }) => total + Bytes, 0),
    TotalInodes: rows.reduce((total, { Inodes }) => total + Inodes, 0),
    FileSystem: { TotalBytes: blocks * bsize, FreeBytes: bavail * bsize, TotalInodes: inodes, FreeInodes: ffree },
  };
}

function row(name: string, { count, bytes, inodes }: CountedUsage): RootUsageRow {
  return { Name: name, Count: count, Bytes: bytes, Inodes: inodes };
}

async function measureContainers(
  { layout }: EngineContext,
  counted: CountedFiles,
): Promise<{ logs: CountedUsage; files: CountedUsage }> {
  const logs: CountedUsage = { bytes: 0, inodes: 0, count: 0 };
  const files: CountedUsage = { ...(await own(layout.containers)), count: 0 };
  for (const id of await namesIn(layout.containers)) {
    const { directory, log } = layout.container(id);
    const logName = log.slice(log.lastIndexOf("/") + 1);
    add(files, await own(directory), 1);
    for (const name of await namesIn(directory)) {
      // Rotated ones have a number behind the name.
      const isLog = name === logName || name.startsWith(`${logName}.`);
      add(isLog ? logs : files, await countTree(join(directory, name), counted), isLog ? 1 : 0);
    }
  }
  return { logs, files };
}

/** Without the file systems that are mounted there, which have their own disks. */
async function measureVolumes(directory: string, counted: CountedFiles): Promise<CountedUsage> {
  const [entries, below, itself] = [await namesIn(directory), await ownUsage(directory, counted), await own(directory)];
  return { ...sum(below, itself), count: entries.length };
}

/** The database with its write-ahead log, the lock, the root itself, and whatever somebody put there. */
async function measureRest(
  root: string,
  counted: CountedFiles,
): Promise<{ database: CountedUsage; other: CountedUsage }> {
  const database: CountedUsage = { bytes: 0, inodes: 0, count: 0 };
  const other: CountedUsage = { ...(await own(root)), count: 0 };
  for (const name of await namesIn(root)) {
    if (["content", "snapshots", "containers", "volumes"].includes(name)) continue;
    const part = name.startsWith("metadata.db") ? database : other;
    add(part, await countTree(join(root, name), counted), 1);
  }
  return { database, other };
}

function add(usage: CountedUsage, taken: DiskUsage, count: number): void {
  Object.assign(usage, sum(usage, taken));
  usage.count += count;
}

async function own(path: string): Promise<DiskUsage> {
  try {
    return { bytes: (await lstat(path)).blocks * 512, inodes: 1 };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return { bytes: 0, inodes: 0 };
    throw error;
  }
}
