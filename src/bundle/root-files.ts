/**
 * Reads files of a container's root file system from outside, whatever the image made of its path: symbolic links
 * stay inside the root, and only a regular file is ever opened.
 *
 * The overlay of a container is mounted in its own mount namespace and nowhere else. So the layers are looked through
 * here as overlayfs does (Documentation/filesystems/overlayfs.rst): directories merge, whiteouts and opaque
 * directories hide what lies below. Directories that overlayfs itself moved (redirect_dir) are not followed: tsd does
 * not turn that on.
 */
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open, openat, read, readlinkat } from "../../ffi/files.ts";
import { getXattr, isDirectory, isRegularFile, isSymlink, isWhiteout, statx } from "../../ffi/stat.ts";
import { EngineError, isErrno } from "../core/errors.ts";

/** path_resolution(7): the kernel follows as many. */
const linksMax = 40;

/** One place in the merged tree. */
interface Merged {
  /** Topmost first. */
  layers: Fd[];
  /** Those of its directories that were looked up. */
  children: Map<string, Merged>;
}

/**
 * @param layers directories, the topmost first; a root that is mounted is a single one.
 * @param paths absolute, in the container.
 * @returns the text of each, or undefined where there is no such file.
 * @throws EngineError invalid_argument when it is no regular file, too large, or a loop of symbolic links.
 */
export function readRootFiles<const Paths extends readonly string[]>(
  layers: readonly string[],
  paths: Paths,
  bytesMax: number,
): { [Path in keyof Paths]: string | undefined } {
  using opened = new DisposableStack();
  const directories = layers.map((layer) => opened.use(open(layer, O_PATH | O_DIRECTORY)));
  const root: Merged = { layers: directories, children: new Map() };
  const texts = paths.map((path) => readBelow(root, path, bytesMax, opened));
  return texts as { [Path in keyof Paths]: string | undefined };
}

function readBelow(root: Merged, path: string, bytesMax: number, opened: DisposableStack): string | undefined {
  const stack: Merged[] = [root];
  const names = path.split("/").reverse();
  let links = 0;
  while (names.length > 0) {
    const name = names.pop()!;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (stack.length > 1) stack.pop();
      continue;
    }
    const found = lookup(stack.at(-1)!, name, opened);
    if (found === undefined) return undefined;
    if ("layers" in found) {
      stack.push(found);
      continue;
    }
    if (isSymlink(statx(found))) {
      if (++links > linksMax) throw new EngineError("invalid_argument", `${path}: too many symbolic links`, { path });
      const target = readlinkat(found, "");
      if (target.startsWith("/")) stack.splice(1);
      names.push(...target.split("/").reverse());
    } else {
      // A name after a file would be ENOTDIR.
      return names.some((rest) => rest !== "" && rest !== ".") ? undefined : readRegular(found, path, bytesMax);
    }
  }
  throw new EngineError("invalid_argument", `${path}: is a directory`, { path });
}

/** The name in the merged directory: its own merged directory, or whatever else it is, or undefined. */
function lookup({ layers, children }: Merged, name: string, opened: DisposableStack): Merged | Fd | undefined {
  const known = children.get(name);
  if (known !== undefined) return known;
  const merged: Fd[] = [];
  for (const [index, directory] of layers.entries()) {
    const entry = openEntry(directory, name);
    if (entry === undefined) continue;
    opened.use(entry);
    const status = statx(entry);
    if (isDirectory(status)) {
      merged.push(entry);
      if (index === layers.length - 1 || isOpaque(directory, name)) break;
      continue;
    }
    // A file hides what lies below it, and is hidden by a directory above; a whiteout is a device 0:0.
    if (merged.length > 0 || isWhiteout(status)) break;
    return entry;
  }
  if (merged.length === 0) return undefined;
  const directory: Merged = { layers: merged, children: new Map() };
  children.set(name, directory);
  return directory;
}

function openEntry(directory: Fd, name: string): Fd | undefined {
  try {
    // One component and O_NOFOLLOW: there is nothing to be led astray by.
    return openat(directory, name, O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

function isOpaque(directory: Fd, name: string): boolean {
  // The xattr calls do not take a descriptor of O_PATH; its name in procfs they do.
  const path = `/proc/self/fd/${directory.number}/${name}`;
  return ["trusted.overlay.opaque", "user.overlay.opaque"].some((attribute) => {
    const value = getXattr({ path }, attribute);
    return value !== undefined && Buffer.from(value).toString() === "y";
  });
}

function readRegular(entry: Fd, path: string, bytesMax: number): string {
  const status = statx(entry);
  // A FIFO would block the engine, a device might do anything at all.
  if (!isRegularFile(status)) throw new EngineError("invalid_argument", `${path}: is not a regular file`, { path });
  if (status.size > bytesMax) {
    throw new EngineError("invalid_argument", `${path}: ${status.size} bytes, more than ${bytesMax}`, { path });
  }
  using file = openat(AT_FDCWD, `/proc/self/fd/${entry.number}`, O_RDONLY | O_NONBLOCK);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const buffer = new Uint8Array(65536);
    const length = read(file, buffer);
    size += length;
    if (length === 0 || size > bytesMax) return Buffer.concat(chunks).toString();
    chunks.push(buffer.subarray(0, length));
  }
}
