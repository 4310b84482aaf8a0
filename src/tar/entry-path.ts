/** Paths inside an archive: byte strings, relative, without `.`, `..` or doubled slashes; the root is the empty string. */
import { EngineError } from "../core/errors.ts";
import { printable } from "./tar-entry.ts";

/** PATH_MAX: what no system call could take is refused before it costs anything. */
const pathBytesMax = 4096;

/**
 * A name from an archive as a path below the root. A leading slash means that root, as for every other engine; a name
 * that climbs above it is an attack or an accident, and refused.
 * @param what `path` or `hard link target`, for the error. @param of what it is an entry of.
 * @throws EngineError invalid_argument.
 */
export function cleanEntryPath(name: string, what: string, of: "layer" | "archive" = "layer"): string {
  const cleaned = clean(name);
  if (cleaned === undefined) {
    throw new EngineError("invalid_argument", `${of} entry ${printable(name)}: ${what} leaves the root`);
  }
  if (name === "" || name.includes("\0") || cleaned.length > pathBytesMax) {
    throw new EngineError("invalid_argument", `${of} entry ${printable(name.slice(0, 100))}: invalid ${what}`);
  }
  return cleaned;
}

/** Where a symlink's target leads, seen from the directory that it lies in, as in a chroot: the root is its own parent. */
export function resolveTarget(directory: string, target: string): string {
  return clean(target.startsWith("/") ? target : `${directory}/${target}`, true)!;
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function join(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

/** Is `path` what `ancestor` names, or below it? */
export function isWithin(path: string, ancestor: string): boolean {
  return path === ancestor || path.startsWith(`${ancestor}/`);
}

function clean(path: string, clamp = false): string | undefined {
  // The usual case, which is worth telling: nothing to clean.
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(path)) return path;
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.pop() === undefined && !clamp) return undefined;
  }
  return kept.join("/");
}
