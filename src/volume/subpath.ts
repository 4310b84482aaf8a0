/**
 * A part of a volume or of an image: what a path leads to inside of it. It is looked up once, by descriptor, and the
 * mount is made of what was found, because a container that has the same volume may exchange a folder for a symlink at
 * any moment (as in CVE-2021-25741 and CVE-2024-23651).
 */
import { O_PATH, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../../ffi/constants/open.ts";
import { SyscallError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { openat2 } from "../../ffi/files.ts";
import { reachBelow } from "../../ffi/reach.ts";
import { EngineError, isErrno, wrapError } from "../core/errors.ts";

/** Whether a path stays inside as it is written, whatever symlinks are on it: Go's filepath.IsLocal. */
export function isLocalPath(path: string): boolean {
  if (path === "" || path.startsWith("/")) return false;
  let depth = 0;
  for (const name of path.split("/")) {
    if (name === "..") depth--;
    else if (name !== "" && name !== ".") depth++;
    if (depth < 0) return false;
  }
  return true;
}

/**
 * What symlinks may do: in a volume none may lead out of it, and an absolute one does, because it was meant for the
 * root of some container; in an image an absolute one is one of the image's own root.
 */
export type SubpathRoot = "volume" | "image";

/** How often a path is looked up again that is being changed while it is looked up. */
const triesMax = 64;

/** Waits until `openSubpath` need not wait for a server: what is wrong with the path is for that to say. */
export async function reachSubpath(root: Fd, subpath: string, kind: SubpathRoot): Promise<void> {
  try {
    await reachBelow(root, subpath, resolveOf(kind));
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
}

function resolveOf(kind: SubpathRoot): number {
  return RESOLVE_NO_MAGICLINKS | (kind === "volume" ? RESOLVE_BENEATH : RESOLVE_IN_ROOT);
}

/**
 * Opens (O_PATH) what `subpath` leads to below a directory. @param shown the directory as errors name it.
 * @throws EngineError in docker's words: not_found; invalid_argument for what leads out.
 */
export function openSubpath(root: Fd, subpath: string, { kind, shown }: { kind: SubpathRoot; shown: string }): Fd {
  const resolve = resolveOf(kind);
  for (let tries = 1; ; tries++) {
    try {
      return openat2(root, subpath, { flags: O_PATH, resolve });
    } catch (error) {
      // The kernel found a rename beside a ".." and cannot say where that leads to: openat2(2).
      if (isErrno(error, "EAGAIN") && tries < triesMax) continue;
      throw refused(error, subpath, shown);
    }
  }
}

function refused(error: unknown, subpath: string, shown: string): EngineError {
  const details = { stage: "mount", path: `${shown}/${subpath}`, cause: error };
  if (isErrno(error, "EXDEV")) {
    const reason = `path concatenation escapes the base directory, base: ${shown}, subpath: ${subpath}`;
    return new EngineError("invalid_argument", reason, details);
  }
  const what = `cannot access path ${shown}/${subpath}`;
  const reasons: Record<string, string> = {
    ENOENT: "no such file or directory",
    ENOTDIR: "not a directory",
    ELOOP: "too many levels of symbolic links",
  };
  for (const [errno, reason] of Object.entries(reasons)) {
    if (isErrno(error, errno)) return new EngineError("not_found", `${what}: ${reason}`, details);
  }
  return wrapError(error, what, { stage: "mount" });
}
