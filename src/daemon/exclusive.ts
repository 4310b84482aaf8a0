/** One daemon a root, one a pid file, one a socket. */
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { LOCK_EX, LOCK_NB, O_CREAT, O_RDWR } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { flock, ftruncate, open, write } from "../../ffi/files.ts";
import { EngineError, isErrno } from "../core/errors.ts";

/**
 * Takes a root or a state directory for as long as the descriptor is open; the kernel lets go of it when the process
 * ends, however it ends.
 * @throws EngineError conflict, with the pid of the daemon that has it.
 */
export function lockDirectory(directory: string): Fd {
  const path = join(directory, "lock");
  const lock = open(path, O_RDWR | O_CREAT, 0o600);
  if (!flock(lock, LOCK_EX | LOCK_NB)) {
    lock.close();
    const pid = readFileSync(path, "utf8").trim();
    throw new EngineError("conflict", `${directory} is in use by another daemon${pid && `, pid ${pid}`}`, {
      path: directory,
      hint: "stop that daemon, or choose another --root and --state",
    });
  }
  ftruncate(lock, 0);
  write(lock, `${process.pid}\n`);
  return lock;
}

/**
 * Writes the pid file.
 * @throws EngineError conflict when a process that it names still runs.
 */
export function writePidFile(path: string): void {
  const pid = readPid(path);
  if (pid !== undefined && pid !== process.pid && existsSync(`/proc/${pid}`)) {
    throw new EngineError("conflict", `process with PID ${pid} is still running: pid file ${path}`, {
      path,
      hint: "if that is no daemon, remove the file",
    });
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, `${process.pid}\n`, { mode: 0o644 });
}

export function removePidFile(path: string): void {
  if (readPid(path) === process.pid) rmSync(path, { force: true });
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, "utf8").trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Makes the path of a socket free: a socket that nobody listens on any more is removed.
 * @throws EngineError conflict when somebody listens there, or something else than a socket is there.
 */
export async function clearSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > 107) {
    throw new EngineError("invalid_argument", `socket path is longer than the 107 bytes that unix(7) allows: ${path}`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isSocket()) throw new EngineError("conflict", `${path} is in the way: it is no socket`, { path });
  const answer = await tryConnect(path);
  if (answer === "connected") {
    throw new EngineError("conflict", `socket ${path} is in use: a daemon listens there already`, { path });
  }
  if (answer !== "ECONNREFUSED") {
    throw new EngineError("unavailable", `socket ${path}: connect: ${answer}`, { path });
  }
  rmSync(path, { force: true });
}

function tryConnect(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve("connected");
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}
