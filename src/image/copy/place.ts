/**
 * Where a path of a container leads, by descriptor: as in a chroot, the root is its own parent, and symlinks stay inside
 * of it. What the container does meanwhile changes what is found, and never leads out.
 */
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { openat2, readlinkat } from "../../../ffi/files.ts";
import { type FileStatus, isSymlink, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { assertCopyable } from "./kernel-file-systems.ts";
import type { PathStat } from "./protocol.ts";

const inRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
/** Go's filepath.EvalSymlinks gives up after as many. */
const symlinksMax = 255;

/** The thing itself: `name` in `parent`, which may be "." for a directory. */
export interface Place extends Disposable {
  parent: Fd;
  name: Uint8Array;
  status: FileStatus;
}

/**
 * An absolute path without `.`, `..` and doubled slashes; a final slash, or a final `/.`, stays: it asserts a directory,
 * and follows a symlink.
 */
export function absolutePath(path: string): string {
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") kept.pop();
    else if (part !== "" && part !== ".") kept.push(part);
  }
  const cleaned = `/${kept.join("/")}`;
  const separator = cleaned === "/" ? "" : "/";
  if (/(^|\/)\.$/.test(path)) return `${cleaned}${separator}.`;
  return path.endsWith("/") ? `${cleaned}${separator}` : cleaned;
}

/** What the path is called in an archive: its last part; "/" for the root, "." for what is in a directory. */
export function nameInArchive(absolute: string): string {
  return absolute.replace(/\/+$/, "").split("/").pop() || "/";
}

/** Finds what is at the path; a symlink at its end is found itself. @throws EngineError not_found, invalid_argument, forbidden. */
export function findPlace(root: Fd, absolute: string): Place {
  const slash = absolute.lastIndexOf("/");
  const last = absolute.slice(slash + 1);
  const parent = openDirectory(root, absolute.slice(0, slash + 1), absolute);
  try {
    const name = Buffer.from(last === "" ? "." : last);
    using thing = openat2(parent, name, { flags: O_PATH | O_NOFOLLOW, resolve: RESOLVE_NO_MAGICLINKS });
    assertCopyable(thing, absolute);
    return { parent, name, status: statx(thing), [Symbol.dispose]: () => parent.close() };
  } catch (error) {
    parent.close();
    throw failed(error, absolute);
  }
}

/** A directory, behind symlinks perhaps. @throws as findPlace. */
export function openDirectory(root: Fd, path: string, named: string = path): Fd {
  try {
    return openat2(root, path, { flags: O_PATH | O_DIRECTORY, resolve: inRoot });
  } catch (error) {
    throw failed(error, named);
  }
}

function failed(error: unknown, path: string): EngineError {
  if (error instanceof EngineError) return error;
  if (isErrno(error, "ENOENT")) return new EngineError("not_found", `${path}: no such file or directory`);
  const reason = isErrno(error, "ENOTDIR")
    ? "not a directory"
    : isErrno(error, "ELOOP")
      ? "too many levels of symbolic links"
      : isErrno(error, "ENAMETOOLONG")
        ? "file name too long"
        : undefined;
  if (reason === undefined) return wrapError(error, path, { stage: "copy" });
  return new EngineError("invalid_argument", `${path}: ${reason}`);
}

export function statOf(root: Fd, place: Place, absolute: string): PathStat {
  const { status } = place;
  const { seconds, nanoseconds } = status.modified;
  return {
    name: nameInArchive(absolute),
    size: status.size,
    mode: status.mode,
    mtime: { seconds: Number(seconds), nanoseconds },
    linkTarget: isSymlink(status) ? followed(root, absolute) : "",
  };
}

/** Where a path ends when all symlinks are followed, whether there is something or not: text, and no promise. */
export function followed(root: Fd, absolute: string): string {
  const waiting = absolute.split("/").reverse();
  const done: string[] = [];
  for (let links = 0; waiting.length > 0; ) {
    const part = waiting.pop()!;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    const target = linkAt(root, `/${[...done, part].join("/")}`);
    if (target === undefined) {
      done.push(part);
      continue;
    }
    if (++links > symlinksMax) throw new EngineError("invalid_argument", `${absolute}: too many links`);
    if (target.startsWith("/")) done.length = 0;
    waiting.push(...target.split("/").reverse());
  }
  return `/${done.join("/")}`;
}

function linkAt(root: Fd, path: string): string | undefined {
  try {
    using thing = openat2(root, path, { flags: O_PATH | O_NOFOLLOW, resolve: inRoot });
    return isSymlink(statx(thing)) ? readlinkat(thing, "") : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
