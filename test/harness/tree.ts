/** What a directory tree is, entry by entry, as lines that can be compared: names are any bytes. */
import { createHash } from "node:crypto";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../../ffi/constants/open.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../../ffi/constants/stat.ts";
import { SYS } from "../../ffi/constants/syscalls.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open, openat, pread, readDirectory, readlinkBytes } from "../../ffi/files.ts";
import { type FileStatus, getXattr, isDevice, isDirectory, isSymlink, listXattr, statx } from "../../ffi/stat.ts";
import { check, syscall } from "../../ffi/syscall.ts";

const types = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFCHR, "character"],
  [S_IFBLK, "block"],
  [S_IFIFO, "fifo"],
  [S_IFSOCK, "socket"],
]);

export interface TreeOptions {
  /** Entries that are left out, with all below them: paths as in the lines, `./etc/hosts`. */
  without?: readonly string[];
  /** Said of each entry; default all. */
  fields?: readonly TreeField[];
}

export type TreeField = "mode" | "owner" | "time" | "links" | "xattrs" | "content" | "holes";
const allFields: readonly TreeField[] = ["mode", "owner", "time", "links", "xattrs", "content", "holes"];

/**
 * One line for each entry below and including `root`, sorted: path, type, mode, owner, time to the nanosecond, number of
 * links and the first path of the same file, device numbers, target, extended attributes, hash of the content, and
 * whether a file has holes. Bytes of names and targets are shown as Latin-1.
 */
export function treeLines(root: string, options: TreeOptions = {}): string[] {
  const walk = new Walk(options);
  using directory = open(root, O_RDONLY | O_DIRECTORY);
  walk.directory(".", directory);
  return walk.lines();
}

interface Entry {
  path: string;
  parts: string[];
  file: string | undefined;
}

class Walk {
  readonly #entries: Entry[] = [];
  readonly #without: ReadonlySet<string>;
  readonly #fields: ReadonlySet<TreeField>;

  constructor({ without = [], fields = allFields }: TreeOptions) {
    this.#without = new Set(without);
    this.#fields = new Set(fields);
  }

  directory(path: string, directory: Fd): void {
    const status = statx(directory);
    this.#add(path, status, [...this.#attributes(directory)]);
    for (const { bytes } of readDirectory(directory)) this.#entry(directory, path, bytes);
  }

  #entry(parent: Fd, parentPath: string, name: Uint8Array): void {
    const path = `${parentPath}/${Buffer.from(name).toString("latin1")}`;
    if (this.#without.has(path)) return;
    const status = statx(parent, name);
    if (isDirectory(status)) {
      using directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      this.directory(path, directory);
      return;
    }
    // By the magic link of the parent's descriptor: a path could be longer than the kernel takes.
    const byName = { path: Buffer.concat([Buffer.from(`/proc/self/fd/${parent.number}/`), name]) };
    const parts = [...this.#attributes(byName)];
    if (isSymlink(status)) parts.push(`-> ${Buffer.from(readlinkBytes(parent, name)).toString("latin1")}`);
    if (isDevice(status)) parts.push(`device ${status.specialMajor}:${status.specialMinor}`);
    if ((status.mode & S_IFMT) === S_IFREG) parts.push(...this.#content(parent, name, status));
    this.#add(path, status, parts);
  }

  #content(parent: Fd, name: Uint8Array, status: FileStatus): string[] {
    const parts = [`size ${status.size}`];
    if (this.#fields.has("holes")) parts.push(status.blocks * 512 < status.size ? "with holes" : "without holes");
    if (!this.#fields.has("content")) return parts;
    using file = openat(parent, name, O_RDONLY | O_NOFOLLOW);
    const hash = createHash("sha256");
    for (const [offset, data] of dataOf(file, status.size)) hash.update(`${offset}:`).update(data);
    return [...parts, `sha256 ${hash.digest("hex")}`];
  }

  #attributes(target: Fd | { path: Uint8Array }): string[] {
    if (!this.#fields.has("xattrs")) return [];
    const names = listXattr(target).sort();
    return names.map((name) => `${name}=${Buffer.from(getXattr(target, name)!).toString("hex")}`);
  }

  #add(path: string, status: FileStatus, parts: string[]): void {
    const { mode, uid, gid, modified, links, inode, deviceMajor, deviceMinor } = status;
    const type = types.get(mode & S_IFMT)!;
    const described = [
      type,
      // The mode of a symlink means nothing, and differs among file systems.
      ...(this.#fields.has("mode") && type !== "symlink" ? [(mode & 0o7777).toString(8)] : []),
      ...(this.#fields.has("owner") ? [`${uid}:${gid}`] : []),
      ...(this.#fields.has("time") ? [`${modified.seconds}.${String(modified.nanoseconds).padStart(9, "0")}`] : []),
      ...parts,
    ];
    // Of a directory it is the number of those in it on some file systems, and 1 on others.
    const isLinked = this.#fields.has("links") && type !== "directory" && links > 1;
    const file = isLinked ? `${deviceMajor}:${deviceMinor}:${inode} ${links}` : undefined;
    this.#entries.push({ path, parts: described, file });
  }

  lines(): string[] {
    const entries = this.#entries.sort((a, b) => (a.path < b.path ? -1 : 1));
    const first = new Map<string, string>();
    return entries.map(({ path, parts, file }) => {
      if (file === undefined) return `${JSON.stringify(path)} ${parts.join(" ")}`;
      if (!first.has(file)) first.set(file, path);
      const links = file.split(" ")[1];
      return `${JSON.stringify(path)} ${parts.join(" ")} ${links} links, first ${JSON.stringify(first.get(file))}`;
    });
  }
}

const SEEK_DATA = 3;
const pieceBytes = 1 << 20;

/** Pieces of a file that are not zero all over, at multiples of 1 MiB; the file's holes are skipped, for they may be huge. */
function* dataOf(file: Fd, size: number): Iterable<[offset: number, data: Uint8Array]> {
  for (let at = 0; at < size; at += pieceBytes) {
    const next = syscall(SYS.lseek, file.number, at, SEEK_DATA);
    const ENXIO = 6;
    if (next === -ENXIO) return; // nothing but a hole up to the end
    at = Math.floor(check("lseek", next, "") / pieceBytes) * pieceBytes;
    const piece = new Uint8Array(Math.min(pieceBytes, size - at));
    for (let done = 0; done < piece.length; ) {
      const count = pread(file, piece.subarray(done), at + done);
      if (count === 0) throw new Error(`a file of ${size} bytes has only ${at + done}`);
      done += count;
    }
    if (piece.some((byte) => byte !== 0)) yield [at, piece];
  }
}

/** Fails with the lines that only one of two trees has, some of them. */
export function expectSameTree(actual: readonly string[], expected: readonly string[]): void {
  const [has, wants] = [new Set(actual), new Set(expected)];
  const missing = expected.filter((line) => !has.has(line));
  const extra = actual.filter((line) => !wants.has(line));
  if (missing.length + extra.length === 0 && actual.length === expected.length) return;
  const shown = [...missing.slice(0, 20).map((line) => `- ${line}`), ...extra.slice(0, 20).map((line) => `+ ${line}`)];
  const count = `${missing.length} lines are missing (-), ${extra.length} should not be there (+)`;
  throw new Error(
    `the trees differ: ${count}, some of them:\n${shown.sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1)).join("\n")}`,
  );
}
