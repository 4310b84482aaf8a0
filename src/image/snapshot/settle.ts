/**
 * What is left to do for a freshly unpacked layer by somebody who sees the layers below and may set trusted
 * attributes: the child that unpacked it had neither.
 */
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../../../ffi/constants/open.ts";
import { S_IFCHR } from "../../../ffi/constants/stat.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { fchmod, fchown, mknodat, open, openat, openat2, readDirectory, utimensat } from "../../../ffi/files.ts";
import { type FileStatus, getXattr, isDirectory, listXattr, setXattr, statx } from "../../../ffi/stat.ts";
import { isErrno } from "../../core/errors.ts";
import type { ApplyReport } from "../unpack/applier.ts";
import { parentOf } from "../unpack/layer-path.ts";

const opaqueAttribute = "trusted.overlay.opaque";
const opaqueValue = Uint8Array.of("y".charCodeAt(0));
/** The event loop gets a turn after so many paths. */
const pathsPerTurn = 100;

/**
 * Marks opaque directories, and gives directories that the archive did not describe the owner, mode, attributes and
 * time that they have in the layers below: in overlayfs the topmost directory's count, so a layer that adds
 * `tmp/x` alone would otherwise take the sticky bit from /tmp.
 *
 * @param layer the unpacked `fs` directory. @param lower the `fs` directories below, top first.
 */
export async function settleLayer(layer: string, lower: readonly string[], report: ApplyReport): Promise<void> {
  using root = open(layer, O_RDONLY | O_DIRECTORY);
  const lowerRoots: Fd[] = [];
  try {
    for (const path of lower) lowerRoots.push(open(path, O_RDONLY | O_DIRECTORY));
    let done = 0;
    const turn = async () => {
      if (++done % pathsPerTurn === 0) await new Promise(setImmediate);
    };
    const opaque = new Set(report.opaque);
    for (const path of report.implicit) {
      // Under an opaque directory of this layer nothing of the layers below shows, attributes neither.
      if (directoriesAbove(path).some((above) => opaque.has(above))) continue;
      inheritAttributes(root, path, lowerRoots);
      await turn();
    }
    // overlayfs merges the layers' roots whatever their attributes say: every name below is hidden by itself.
    const hidden = report.opaque.includes("") ? lowerRoots.flatMap((below) => hideNames(root, below)) : [];
    for (const path of [...report.opaque.filter((path) => path !== ""), ...hidden]) {
      using directory = openBeneath(root, path, O_RDONLY | O_DIRECTORY);
      if (directory) setXattr(directory, opaqueAttribute, opaqueValue);
      await turn();
    }
  } finally {
    for (const fd of lowerRoots) fd.close();
  }
}

/** Up to the root, which is the empty string and has none. */
function directoriesAbove(path: string): string[] {
  const above: string[] = [];
  for (let at = path; at !== ""; at = parentOf(at)) above.push(parentOf(at));
  return above;
}

/** Whites out what a lower root has and this layer has not. @returns the directories that both have. */
function hideNames(root: Fd, below: Fd): string[] {
  const both: string[] = [];
  using names = openat(below, ".", O_RDONLY | O_DIRECTORY);
  for (const { bytes } of readDirectory(names)) {
    try {
      mknodat(root, bytes, S_IFCHR, 0);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      if (isDirectory(statx(root, bytes))) both.push(Buffer.from(bytes).toString("latin1"));
    }
  }
  return both;
}

function inheritAttributes(root: Fd, path: string, lower: readonly Fd[]): void {
  using directory = openBeneath(root, path, O_RDONLY | O_DIRECTORY);
  if (!directory) return;
  for (const below of lower) {
    const seen = look(below, path);
    if (seen.directory) {
      using found = seen.directory;
      copyAttributes(found, seen.status, directory);
      return;
    }
    if (seen.hides) return;
  }
}

type Look =
  | { directory: Fd; status: FileStatus }
  /** Nothing there; `hides`: nothing of the layers below shows there either. */
  | { directory: undefined; hides: boolean };

function look(layer: Fd, path: string): Look {
  let hides = false;
  const parts = path.split("/");
  for (let depth = 1; depth <= parts.length; depth++) {
    const prefix = parts.slice(0, depth).join("/");
    const found = openBeneath(layer, prefix, O_RDONLY | O_NOFOLLOW, true);
    if (found === undefined) return { directory: undefined, hides };
    if (found === "other") return { directory: undefined, hides: true };
    if (depth === parts.length) return { directory: found, status: statx(found) };
    using parent = found;
    hides ||= getXattr(parent, opaqueAttribute) !== undefined;
  }
  return { directory: undefined, hides };
}

function copyAttributes(from: Fd, status: FileStatus, to: Fd): void {
  fchown(to, status.uid, status.gid);
  fchmod(to, status.mode & 0o7777);
  for (const name of listXattr(from)) {
    const value = name.startsWith("trusted.") ? undefined : getXattr(from, name);
    if (value) setXattr(to, name, value);
  }
  utimensat(to, "", status.modified, status.modified);
}

/**
 * Opens below a directory without following any symlink: both trees are an image's work. Undefined where there is
 * nothing; with `tellOther`, "other" where there is something that is no directory.
 */
function openBeneath(root: Fd, path: string, flags: number): Fd | undefined;
function openBeneath(root: Fd, path: string, flags: number, tellOther: true): Fd | undefined | "other";
function openBeneath(root: Fd, path: string, flags: number, tellOther = false): Fd | undefined | "other" {
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const name = path === "" ? "." : Buffer.from(path, "latin1");
  try {
    if (tellOther) {
      // Looked at before it is opened: opening a device or a fifo has effects.
      using probe = openat2(root, name, { flags: O_PATH | O_NOFOLLOW, resolve });
      if (!isDirectory(statx(probe))) return "other";
    }
    return openat2(root, name, { flags: flags | O_DIRECTORY, resolve });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, "ENOTDIR", "ELOOP")) return tellOther ? "other" : undefined;
    throw error;
  }
}
