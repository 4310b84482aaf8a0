/**
 * Hard links of a layer to files of the layers below it. overlayfs knows no link across layers: making one through a
 * merged mount copies the file up first, and so does this.
 */

import { open as openFile } from "node:fs/promises";
import { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../../../ffi/constants/open.ts";
import { copyOwnerAndMode, copyPieces, copySpecialFile, copyTimes, copyXattrs } from "../../../ffi/copy-file.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { linkat, openat, unlinkat, utimensat } from "../../../ffi/files.ts";
import { type FileStatus, isDirectory, isRegularFile, isWhiteout, statx, xattrTargetIn } from "../../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { nameOf, parentOf } from "../../tar/entry-path.ts";
import { printable } from "../../tar/tar-entry.ts";
import type { LowerLink } from "../unpack/applier.ts";
import { directoriesAbove, look, openBeneath } from "./look.ts";

/** The event loop gets a turn after so much. */
const bytesPerTurn = 1 << 20;
/** overlayfs's own say what a file is in its own layer, and not here. */
const overlayAttributes = /^trusted\.overlay\./;

/**
 * Makes the links, each with the file that it is a link to: the copy that the first link to a file makes is what later
 * ones link to.
 * @param opaque directories of this layer under which nothing of the layers below shows.
 * @returns the bytes that were copied.
 * @throws EngineError invalid_argument when there is no such file.
 */
export async function linkToLower(
  root: Fd,
  links: readonly LowerLink[],
  lower: readonly Fd[],
  opaque: ReadonlySet<string>,
): Promise<number> {
  let bytes = 0;
  for (const link of links) {
    try {
      bytes += await linkOne(root, link, lower, opaque);
    } catch (error) {
      throw wrapError(error, `layer entry ${printable(link.path)}`, { stage: "unpack" });
    }
  }
  return bytes;
}

async function linkOne(
  root: Fd,
  { path, target }: LowerLink,
  lower: readonly Fd[],
  opaque: ReadonlySet<string>,
): Promise<number> {
  using directory = openDirectory(root, parentOf(path));
  using targetDirectory = openDirectory(root, parentOf(target));
  const times = [directory, targetDirectory].map((fd) => statx(fd).modified);
  const [name, targetName] = [asBytes(nameOf(path)), asBytes(nameOf(target))];
  const taken = lookUp(directory, name);
  // A later entry of the same name replaced the link.
  if (taken !== undefined && !isWhiteout(taken)) return 0;
  let bytes = 0;
  const present = lookUp(targetDirectory, targetName);
  if (present === undefined) {
    const found = directoriesAbove(target).some((above) => opaque.has(above)) ? undefined : findFile(lower, target);
    if (found === undefined) throw noTarget(target);
    using from = found.directory;
    bytes = await copyUp(from, targetDirectory, targetName, found.status);
  } else if (isWhiteout(present)) throw noTarget(target);
  if (taken !== undefined) unlinkat(directory, name);
  linkat(targetDirectory, targetName, directory, name);
  for (const [index, fd] of [directory, targetDirectory].entries()) utimensat(fd, "", times[index]!, times[index]!);
  await sync(directory);
  return bytes;
}

function noTarget(target: string): EngineError {
  return new EngineError(
    "invalid_argument",
    `hard link target ${printable(target)} is neither in the layer nor in those below`,
  );
}

function openDirectory(root: Fd, path: string): Fd {
  const directory = openBeneath(root, path, O_RDONLY | O_DIRECTORY);
  if (directory === undefined) throw new EngineError("invalid_argument", `${printable(path)} is no directory`);
  return directory;
}

function lookUp(directory: Fd, name: Uint8Array): FileStatus | undefined {
  try {
    return statx(directory, name);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** The file as the layers below together show it, and the directory that it lies in there. */
function findFile(lower: readonly Fd[], path: string): { directory: Fd; status: FileStatus } | undefined {
  for (const below of lower) {
    const parent = parentOf(path);
    const seen =
      parent === "" ? { directory: openat(below, ".", O_RDONLY | O_DIRECTORY), hides: false } : look(below, parent);
    if (seen.directory === undefined) {
      if (seen.hides) return undefined;
      continue;
    }
    using directory = seen.directory;
    const status = lookUp(directory, asBytes(nameOf(path)));
    if (status !== undefined) {
      return isWhiteout(status) || isDirectory(status) ? undefined : { directory: directory.move(), status };
    }
    if (seen.hides) return undefined;
  }
  return undefined;
}

/** As overlayfs does on the first write: content, owner, mode, attributes, time. @returns the bytes of its content. */
async function copyUp(from: Fd, to: Fd, name: Uint8Array, status: FileStatus): Promise<number> {
  const copyAttributes = () => copyXattrs(xattrTargetIn(from, name), xattrTargetIn(to, name), overlayAttributes);
  if (isRegularFile(status)) {
    using source = openat(from, name, O_RDONLY | O_NOFOLLOW);
    using copy = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    for (const _piece of copyPieces(source, copy, bytesPerTurn)) await new Promise(setImmediate);
    copyOwnerAndMode(copy, status);
    copyAttributes();
    copyTimes(copy, status);
    await sync(copy);
    return status.size;
  }
  copySpecialFile(from, name, to, name, status);
  copyAttributes();
  return 0;
}

/** The layer is told to be on the disk already: this has to be as well. Beside the event loop, for it takes a while. */
async function sync(fd: Fd): Promise<void> {
  const handle = await openFile(`/proc/self/fd/${fd.number}`, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function asBytes(name: string): Uint8Array {
  return Buffer.from(name, "latin1");
}
