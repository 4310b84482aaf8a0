/** This machine's side of `cp`: what is read here, and what is written. */
import { lstatSync, readFileSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { O_DIRECTORY, O_PATH, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { dirname, normalize } from "../../../ffi/path.ts";
import { EngineError, isKernelError } from "../../core/errors.ts";
import type { TarSink } from "../../tar/tar-entry.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { TreePacker } from "../../tar/tree-packer.ts";
import { TreeWriter } from "../../tar/tree-writer.ts";
import { fileError } from "../file-error.ts";
import { behindLink, type CopySource, type CopyTarget, lastName, linkTargetOf, splitPath } from "./paths.ts";

const symlinksMax = 10;

/** @param path absolute. @throws EngineError in docker's words: `lstat /x: no such file or directory`. */
export function localSource(path: string, followsLink: boolean): CopySource {
  const source = followsLink ? followed(path) : besideLinks(path);
  const status = look("lstat", source.path, (at) => lstatSync(at));
  return { path: source.path, name: source.name ?? splitPath(source.path).name, isDirectory: status.isDirectory() };
}

function followed(path: string): { path: string; name?: string } {
  return behindLink(
    path,
    look("lstat", path, (at) => realpathSync(at)),
  );
}

/** Of a link only what asserts a directory is followed; those on the way always are. */
function besideLinks(path: string): { path: string; name?: string } {
  const slash = path.lastIndexOf("/");
  const directory = look("lstat", path.slice(0, slash + 1), (at) => realpathSync(at));
  const resolved = `${directory === "/" ? "" : directory}/${path.slice(slash + 1)}`;
  const name = lastName(path);
  return path.endsWith("/") && name !== lastName(resolved) ? { path: resolved, name } : { path: resolved };
}

/**
 * The archive of a source, in which it has this name. Pieces are the caller's.
 * @param onBytes hears how many more a plain archive would have, whatever extended headers this one has.
 * @throws EngineError that names the file.
 */
export function* packLocal(
  { path }: CopySource,
  name: string,
  onBytes: (bytes: number) => void,
): Generator<Uint8Array, void, void> {
  const { directory, name: last } = splitPath(path);
  using parent = open(directory, O_RDONLY | O_DIRECTORY);
  const packer = new TreePacker(parent, { form: "tree" });
  const there = Buffer.from(last === "/" ? "." : last);
  let told = 0;
  for (const piece of packer.packOne(parent, there, Buffer.from(name).toString("latin1"))) {
    onBytes(packer.plainBytes - told);
    told = packer.plainBytes;
    yield Buffer.from(piece);
  }
}

/** @param path absolute, or "-". @throws EngineError invalid_argument in docker's words. */
export function checkOutput(path: string): void {
  if (path === "-") return;
  const directory = dirname(normalize(path).replace(/(.)\/+$/, "$1"));
  if (statSync(directory, { throwIfNoEntry: false }) === undefined) {
    throw refused(`invalid output path: directory ${JSON.stringify(directory)} does not exist`);
  }
  const status = look("stat", path, (at) => statSync(at, { throwIfNoEntry: false }));
  if (status?.isCharacterDevice() || status?.isBlockDevice()) {
    throw refused(`invalid output path: ${JSON.stringify(path)} must be a directory or a regular file: got a device`);
  }
}

/** What is where a copy is to go; a symlink there is followed. @throws EngineError where the directory above is not there. */
export function localTarget(path: string): CopyTarget {
  let at = path;
  for (let links = 0; ; links++) {
    const status = lookIfThere(at);
    if (status === undefined) break;
    if (!status.isSymbolicLink()) return { path: at, kind: status.isDirectory() ? "directory" : "other" };
    if (links === symlinksMax) throw refused(`too many symlinks in ${path}`);
    at = linkTargetOf(at, readlinkSync(at));
  }
  const { directory } = splitPath(at);
  if (!look("stat", directory, (at) => statSync(at)).isDirectory()) throw refused(`${directory}: not a directory`);
  return { path: at, kind: undefined };
}

export interface Unpacking {
  /** A directory that is there. */
  directory: string;
  owner: "writer" | { uid: number; gid: number };
  /** Entries pass through it. */
  through: (sink: TarSink) => TarSink;
}

/** @throws EngineError that names the file; corrupt when the archive breaks off. */
export async function unpackHere(archive: AsyncIterable<Uint8Array>, options: Unpacking): Promise<void> {
  const { directory, owner, through } = options;
  using root = open(directory, O_PATH | O_DIRECTORY);
  using writer = new TreeWriter(root, { rootName: directory.replace(/\/+\.?$/, ""), keepsKinds: true, owner });
  const reader = new TarReader(through(writer));
  for await (const piece of archive) reader.write(piece);
  reader.end();
  writer.finish();
}

/** Of this machine's own users. @param text `user[:group]`, names or numbers. @throws EngineError invalid_argument. */
export function localOwner(text: string): { uid: number; gid: number } {
  const [user = "", group] = text.split(":");
  const entry = entryOf("/etc/passwd", user);
  const uid = numberOf(user) ?? entry?.[2];
  if (user === "" || uid === undefined)
    throw refused(`unable to find user ${user}: no matching entries in /etc/passwd`);
  if (group === undefined || group === "") return { uid: Number(uid), gid: Number(entry?.[3] ?? 0) };
  const gid = numberOf(group) ?? entryOf("/etc/group", group)?.[2];
  if (gid === undefined) throw refused(`unable to find group ${group}: no matching entries in /etc/group`);
  return { uid: Number(uid), gid: Number(gid) };
}

/** passwd(5) and group(5): the third field is the number. */
function entryOf(file: string, nameOrNumber: string): string[] | undefined {
  const entries = readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const column = numberOf(nameOrNumber) === undefined ? 0 : 2;
  return entries.find((fields) => fields.length > 3 && fields[column] === nameOrNumber);
}

function numberOf(text: string): string | undefined {
  return /^\d{1,10}$/.test(text) ? text : undefined;
}

function look<T>(call: "lstat" | "stat", path: string, ask: (path: string) => T): T {
  try {
    return ask(path);
  } catch (error) {
    throw isKernelError(error) ? fileError(call, path, error) : error;
  }
}

function lookIfThere(path: string): Stats | undefined {
  try {
    return look("lstat", path, (at) => lstatSync(at));
  } catch (error) {
    if (error instanceof EngineError && error.code === "not_found") return undefined;
    throw error;
  }
}

function refused(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
