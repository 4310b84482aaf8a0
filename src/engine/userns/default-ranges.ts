/** `--userns-remap default`: numbers for dockremap, set aside where they are not yet. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { EngineError, isErrno } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { HostFiles, IdRange } from "./host-files.ts";

/** Docker's. tsd needs no account of that name: the files take one without. */
export const remapName = "dockremap";

const size = 65536;
/** login.defs(5): where useradd(8) begins and ends. */
const least = 100_000;
const most = 600_100_000;

/** @throws EngineError conflict when the file is being edited. */
export function ensureDefaultRanges(files: HostFiles): void {
  for (const kind of ["subuid", "subgid"] as const) {
    if (files.subordinate(kind).some(({ owner }) => owner === remapName)) continue;
    const start = freeStart([...files.subordinate("subuid"), ...files.subordinate("subgid")].filter(isOther), files);
    append(join(files.directory, kind), `${remapName}:${start}:${size}\n`);
    log("info", `set users aside for ${remapName}`, { file: kind, start, size });
  }
}

/** The same numbers of groups as of users. */
function isOther({ owner }: { owner: string }): boolean {
  return owner !== remapName;
}

function freeStart(taken: readonly IdRange[], files: HostFiles): number {
  const accounts = [...files.users(), ...files.groups()].map(({ id }) => ({ start: id, size: 1 }));
  let start = least;
  for (const range of [...taken, ...accounts].sort((a, b) => a.start - b.start)) {
    if (range.start < start + size && range.start + range.size > start) start = range.start + range.size;
  }
  if (start + size <= most) return start;
  throw new EngineError("conflict", `--userns-remap: no ${size} users are free in ${files.directory}/subuid`);
}

/** Under the lock that shadow(8)'s programs take, and whole or not at all. */
function append(path: string, line: string): void {
  const lock = `${path}.lock`;
  const file = openLock(lock);
  try {
    writeSync(file, String(process.pid));
    const temporary = `${path}.tsd`;
    const former = readOptional(path);
    const text = former === "" || former.endsWith("\n") ? former : `${former}\n`;
    const target = openSync(temporary, "w", 0o644);
    try {
      writeSync(target, `${text}${line}`);
      fsyncSync(target);
    } finally {
      closeSync(target);
    }
    chmodSync(temporary, former === "" ? 0o644 : statSync(path).mode & 0o7777);
    renameSync(temporary, path);
  } finally {
    closeSync(file);
    rmSync(lock, { force: true });
  }
}

function openLock(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    const holder = readOptional(path).replace(/\D+$/, "");
    // As shadow(8) does with the lock of one that was killed.
    if (/^\d+$/.test(holder) && !existsSync(`/proc/${holder}`)) {
      rmSync(path, { force: true });
      return openSync(path, "wx", 0o600);
    }
    const whom = holder === "" ? "somebody" : `process ${holder}`;
    throw new EngineError("conflict", `--userns-remap: ${path} is there: ${whom} is editing the file`, { path });
  }
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "";
    throw error;
  }
}
