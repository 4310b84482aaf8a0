/**
 * What the runtime keeps of a container: `<root>/<id>/` with state.json, the config.json that the container was created
 * with and, while it waits for `start`, exec.fifo. Kept on a tmpfs: nothing here is meant to survive a reboot, so
 * nothing is fsynced; renames alone make it whole after a SIGKILL.
 */

import {
  AT_FDCWD,
  AT_REMOVEDIR,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
} from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { flock, open, readDirectory, removeTree, unlinkat } from "../../ffi/files.ts";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "../../ffi/fs.ts";
import { join } from "../../ffi/path.ts";
import { statx } from "../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../core/errors.ts";
import { formatExactJson, parseExactJson } from "../core/exact-json.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { type ContainerRecord, formatRecord, parseRecord } from "./record.ts";
import { makeStateRoot } from "./state-root.ts";

/** Below a container's directory: where its NOTIFY_SOCKET is (notify.ts). */
export const notifyDirectoryName = "notify";

/** How long a verb waits for another one that works on the same container. */
const lockTimeoutMs = 10_000;
const lockPollMs = 5;

/** @throws EngineError invalid_argument: the id becomes a directory's name. */
export function checkContainerId(id: string): void {
  if (id === "") throw new EngineError("invalid_argument", "container id cannot be empty");
  if (!/^[\w+.-]+$/.test(id) || id === "." || id === ".." || id.length > 255) {
    throw new EngineError("invalid_argument", `invalid container id format: ${JSON.stringify(id)}`, {
      hint: "an id has up to 255 letters, digits and the characters _ + - .",
    });
  }
}

export function containerDirectory(root: string, id: string): string {
  checkContainerId(id);
  return join(root, id);
}

export function execFifoPath(root: string, id: string): string {
  return join(containerDirectory(root, id), "exec.fifo");
}

/** @returns the error that every verb gives for an unknown id; callers of runc look for "does not exist". */
export function noSuchContainer(root: string, id: string): EngineError {
  return new EngineError("not_found", `container ${id} does not exist`, { path: join(root, id) });
}

/**
 * Says early, before anything else is found wrong with the container, that its name is taken. What two at a time are
 * told is up to createContainerDirectory.
 * @throws EngineError invalid_argument, already_exists.
 */
export function refuseTakenId(root: string, id: string): void {
  const directory = containerDirectory(root, id);
  if (existsSync(directory)) throw takenId(directory, id);
}

function takenId(directory: string, id: string): EngineError {
  return new EngineError("already_exists", `container with id ${id} already exists`, {
    path: directory,
    hint: "choose another id, or delete that container first",
  });
}

/**
 * Makes and locks the directory of a new container.
 * @throws EngineError already_exists.
 */
export function createContainerDirectory(root: string, id: string): Fd {
  const directory = containerDirectory(root, id);
  try {
    makeStateRoot(root);
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw wrapError(error, `container ${id}: make its state directory`);
    throw takenId(directory, id);
  }
  return lockContainer(root, id);
}

/**
 * Locks a container against the other verbs: create, start and delete alone, exec together with other execs. The
 * kernel drops the lock with the descriptor, so a runtime that was killed leaves none.
 * @throws EngineError not_found, or conflict when another verb does not finish.
 */
export function lockContainer(root: string, id: string, mode: "exclusive" | "shared" = "exclusive"): Fd {
  using directory = openDirectory(root, id);
  const operation = (mode === "exclusive" ? LOCK_EX : LOCK_SH) | LOCK_NB;
  const deadline = performance.now() + lockTimeoutMs;
  while (!flock(directory, operation)) {
    if (performance.now() > deadline) {
      throw new EngineError("conflict", `container ${id} is busy: another command on it has not finished`);
    }
    Bun.sleepSync(lockPollMs);
  }
  // It may have been deleted, and made anew, while this waited.
  if (currentInode(containerDirectory(root, id)) !== statx(directory).inode) throw noSuchContainer(root, id);
  return directory.move();
}

function openDirectory(root: string, id: string): Fd {
  try {
    return open(containerDirectory(root, id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    throw isErrno(error, "ENOENT", "ENOTDIR") ? noSuchContainer(root, id) : error;
  }
}

function currentInode(path: string): bigint | undefined {
  try {
    return statx(AT_FDCWD, path).inode;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Keeps the configuration: later changes of the bundle do not reach the container (runtime.md, "Lifecycle"). */
export function writeConfig(root: string, id: string, config: RuntimeConfig): void {
  writeFileSync(join(containerDirectory(root, id), "config.json"), formatExactJson(config), { mode: 0o600 });
}

/** Replaces the configuration of a container that is there, in one step. The caller holds the lock. */
export function replaceConfig(root: string, id: string, config: RuntimeConfig): void {
  const path = join(containerDirectory(root, id), "config.json");
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, formatExactJson(config), { mode: 0o600 });
  renameSync(temporary, path);
}

export function readConfig(root: string, id: string): RuntimeConfig {
  return parseExactJson(readStateFile(root, id, "config.json")) as RuntimeConfig;
}

export function writeRecord(root: string, record: ContainerRecord): void {
  const path = join(containerDirectory(root, record.id), "state.json");
  // The lock makes this process the only writer: the temporary name needs no randomness.
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, formatRecord(record), { mode: 0o600 });
  renameSync(temporary, path);
}

/** @throws EngineError not_found, corrupt or unsupported. */
export function readRecord(root: string, id: string): ContainerRecord {
  return parseRecord(readStateFile(root, id, "state.json"), join(root, id, "state.json"));
}

function readStateFile(root: string, id: string, name: string): string {
  try {
    return readFileSync(join(containerDirectory(root, id), name), "utf8");
  } catch (error) {
    throw isErrno(error, "ENOENT", "ENOTDIR") ? noSuchContainer(root, id) : error;
  }
}

/** The ids that have a directory under the root. */
export function containerIds(root: string): string[] {
  try {
    const entries = readdirSync(root, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** The last act of a deletion, under the lock: state.json goes last, for it says what else there was. */
export function removeContainerDirectory(root: string, id: string): void {
  using directory = openDirectory(root, id);
  const names = readDirectory(directory).map((entry) => entry.name);
  for (const name of names) {
    if (name === notifyDirectoryName) removeTree(directory, name);
    else if (name !== "state.json") unlinkat(directory, name);
  }
  if (names.includes("state.json")) unlinkat(directory, "state.json");
  unlinkat(AT_FDCWD, containerDirectory(root, id), AT_REMOVEDIR);
}
