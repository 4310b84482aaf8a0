/**
 * What `cp`'s paths mean, by docker's rules (docs.docker.com/reference/cli/docker/container/cp): text alone, nothing is
 * looked up.
 */
import { basename, dirname, isAbsolute, join, normalize, resolve } from "../../../ffi/path.ts";
import { EngineError } from "../../core/errors.ts";

/** `CONTAINER:PATH`; a local path that has a colon in it begins with `/` or `.`. */
export function splitArgument(argument: string): { container?: string; path: string } {
  const colon = argument.indexOf(":");
  if (isAbsolute(argument) || argument.startsWith(".") || colon < 1) return { path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

/** Its last part is `.`: what is in the directory, and not the directory. */
export function meansContent(path: string): boolean {
  return path === "" || /(^|\/)\.\/*$/.test(path);
}

/** It can only be a directory. */
export function assertsDirectory(path: string): boolean {
  return path.endsWith("/") || meansContent(path);
}

/** The last part as archives have it: `/` of the root, `.` of a directory's content. */
export function lastName(path: string): string {
  if (meansContent(path)) return ".";
  return basename(path) || "/";
}

/** Where the last part lies, and the last part; a final slash goes, a final `/.` is a part. */
export function splitPath(path: string): { directory: string; name: string } {
  const clean = withoutSlash(normalize(path));
  if (meansContent(path)) return { directory: clean, name: "." };
  return { directory: dirname(clean), name: lastName(clean) };
}

/** The path as it was meant before something was done to it: with its final slash or `/.`. */
export function asserting(path: string, original: string): string {
  const content = !meansContent(path) && meansContent(original);
  const asserted = content ? `${path}${path.endsWith("/") ? "" : "/"}.` : path;
  return !asserted.endsWith("/") && original.endsWith("/") ? `${asserted}/` : asserted;
}

/** A path of this machine from its root. */
export function absolute(path: string): string {
  return asserting(resolve(path), path);
}

/** A symlink's target as a path: relative ones begin where the link lies. */
export function linkTargetOf(link: string, target: string): string {
  return isAbsolute(target) ? target : withoutSlash(join(splitPath(link).directory, target));
}

/** What a symlink leads to, asked for as the link was, and the link's name where the target has another. */
export function behindLink(link: string, target: string): { path: string; name?: string } {
  const path = asserting(target, link);
  const name = lastName(link);
  return lastName(path) === name ? { path } : { path, name };
}

export interface CopySource {
  path: string;
  isDirectory: boolean;
  /** What it is called in a directory that it is copied into. */
  name: string;
}

export interface CopyTarget {
  path: string;
  /** Undefined: there is nothing, and the directory above it is hoped to be there. */
  kind: "directory" | "other" | undefined;
}

export interface CopyPlan {
  /** Where the archive is to be unpacked. */
  directory: string;
  /** What the source is called there. */
  name: string;
}

/**
 * @throws EngineError invalid_argument in docker's words for a directory onto a file, and for a file that is to become a
 * directory.
 */
export function planCopy(source: CopySource, target: CopyTarget): CopyPlan {
  if (target.kind === "directory") return { directory: target.path, name: source.name };
  if (target.kind === "other" && source.isDirectory) throw refused("cannot copy directory");
  if (target.kind === undefined && !source.isDirectory && assertsDirectory(target.path)) {
    throw refused("no such directory");
  }
  return splitPath(target.path);
}

function refused(reason: string): EngineError {
  return new EngineError("invalid_argument", reason);
}

function withoutSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}
