/**
 * The two files by which a daemon finds a container again: `shim.json` says which shim serves it, `exit.json` how it
 * ended. Each is replaced by renaming, so a reader sees the whole of one version. They lie on a tmpfs
 * (/run/tsd) and are not fsynced: nothing that they speak of survives a reboot.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../core/errors.ts";
import { type ExitRecord, protocolVersion, type ShimRecord } from "./protocol.ts";

const shimFile = "shim.json";
const exitFile = "exit.json";

/** Makes the directory ready for a new run of the container: an exit of a former one is gone. */
export function prepareStateDirectory(stateDir: string): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  rmSync(join(stateDir, exitFile), { force: true });
}

export function writeShimRecord(stateDir: string, record: ShimRecord): void {
  replace(join(stateDir, shimFile), record);
}

export function writeExitRecord(stateDir: string, record: ExitRecord): void {
  replace(join(stateDir, exitFile), record);
}

/** @returns undefined when no shim was ever given the container, or when what is there was not written by this tsd. */
export function readShimRecord(stateDir: string): ShimRecord | undefined {
  const record = read(join(stateDir, shimFile)) as Partial<ShimRecord> | undefined;
  if (record?.version !== protocolVersion || typeof record.socket !== "string") return undefined;
  return record as ShimRecord;
}

/** @returns undefined when the container has not ended, or its end is not known: then its shim was killed. */
export function readExitRecord(stateDir: string): ExitRecord | undefined {
  const record = read(join(stateDir, exitFile)) as Partial<ExitRecord> | undefined;
  return typeof record?.exitCode === "number" ? (record as ExitRecord) : undefined;
}

export function removeRecords(stateDir: string): void {
  for (const name of [shimFile, exitFile]) rmSync(join(stateDir, name), { force: true });
}

function replace(path: string, value: object): void {
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}

function read(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
