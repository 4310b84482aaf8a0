/** A directory with everything that an archive can hold, and some archive programs cannot: for tests of unpacking. */
import { AT_FDCWD, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../../ffi/constants/open.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO } from "../../ffi/constants/stat.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  fchmodat,
  fchownat,
  ftruncate,
  linkat,
  makeDevice,
  mkdirat,
  mknodat,
  open,
  openat,
  pwrite,
  symlinkat,
  utimensat,
} from "../../ffi/files.ts";
import { setXattr } from "../../ffi/stat.ts";
import { noise } from "./hostile-registry.ts";

type Name = string | Uint8Array;

export interface TortureOptions {
  /** Only what the oldest format can say: short names, small numbers, whole seconds, no attributes. */
  plain?: boolean;
  /** That, and sparse files. */
  sparse?: boolean;
  /** Extended attributes; default as not plain. */
  xattrs?: boolean;
}

/** linux/capability.h: revision 2, cap_net_raw in both sets. */
const capability = new Uint8Array([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

export function makeTortureTree(path: string, options: TortureOptions = {}): void {
  mkdirat(AT_FDCWD, path, 0o755);
  using root = open(path, O_RDONLY | O_DIRECTORY);
  const tree = new Tree(root);
  addPlain(tree);
  if (!options.plain) addSparse(tree);
  if (!options.plain && !options.sparse) {
    addNames(tree);
    addNumbers(tree);
    if (options.xattrs !== false) addXattrs(tree);
  }
  // Last: each name changes its directory's time.
  tree.setTimes();
}

class Tree {
  readonly #root: Fd;
  readonly #times: [path: Name, seconds: number, nanoseconds: number][] = [];

  constructor(root: Fd) {
    this.#root = root;
  }

  file(path: Name, data: Uint8Array | string = "", mode = 0o644): void {
    using file = openat(this.#root, path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
    const bytes = Buffer.from(data);
    if (bytes.length > 0) pwrite(file, bytes, 0);
    this.#finish(path, mode);
  }

  /** @param regions offset and bytes of what is no hole. */
  sparse(path: Name, size: number, regions: [offset: number, data: Uint8Array][]): void {
    using file = openat(this.#root, path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
    ftruncate(file, size);
    for (const [offset, data] of regions) pwrite(file, data, offset);
    this.#finish(path, 0o644);
  }

  directory(path: Name, mode = 0o755): void {
    mkdirat(this.#root, path, 0o700);
    this.#finish(path, mode);
  }

  symlink(path: Name, target: Name): void {
    symlinkat(target, this.#root, path);
    this.time(path, 1_400_000_000, 0);
  }

  link(path: Name, existing: Name): void {
    linkat(this.#root, existing, this.#root, path);
  }

  node(path: Name, type: number, mode: number, device: [number, number] = [0, 0]): void {
    mknodat(this.#root, path, type | 0o600, makeDevice(...device));
    this.#finish(path, mode);
  }

  owner(path: Name, uid: number, gid: number, mode = 0o644): void {
    fchownat(this.#root, path, uid, gid);
    fchmodat(this.#root, path, mode); // chown takes set-id bits away
  }

  xattr(path: string, name: Name, value: Uint8Array | string): void {
    setXattr({ path: `/proc/self/fd/${this.#root.number}/${path}` }, name, Buffer.from(value));
  }

  time(path: Name, seconds: number, nanoseconds: number): void {
    this.#times.push([path, seconds, nanoseconds]);
  }

  setTimes(): void {
    for (const [path, seconds, nanoseconds] of this.#times.reverse()) {
      const time = { seconds: BigInt(seconds), nanoseconds };
      utimensat(this.#root, path, time, time);
    }
  }

  #finish(path: Name, mode: number): void {
    fchmodat(this.#root, path, mode);
    this.time(path, 1_300_000_000, 0);
  }
}

function addPlain(tree: Tree): void {
  tree.directory("plain");
  tree.file("plain/empty");
  for (const size of [1, 511, 512, 513, 10_240, 100_000]) tree.file(`plain/bytes-${size}`, noise(size));
  for (const mode of [0, 0o111, 0o444, 0o600, 0o755, 0o1777, 0o2755, 0o4755, 0o7777]) {
    tree.file(`plain/mode-${mode.toString(8)}`, "x", mode);
    tree.directory(`plain/directory-${mode.toString(8)}`, mode);
    tree.file(`plain/directory-${mode.toString(8)}/file`, "in it");
  }
  tree.symlink("plain/soft", "empty");
  tree.symlink("plain/dangling", "/nowhere/../at all");
  tree.symlink("plain/circle", "circle");
  tree.symlink("plain/up", "../../../../../../etc/passwd");
  tree.node("plain/fifo", S_IFIFO, 0o622);
  tree.node("plain/null", S_IFCHR, 0o666, [1, 3]);
  tree.node("plain/disk", S_IFBLK, 0o660, [259, 17]);
  for (const name of ["empty", "bytes-513", "soft", "fifo", "null"])
    tree.link(`plain/link-to-${name}`, `plain/${name}`);
  tree.directory("plain/a");
  tree.link("plain/a/third-name", "plain/bytes-513");
  tree.file("plain/old", "x");
  tree.time("plain/old", 0, 0);
  tree.owner("plain/bytes-1", 1, 2_097_151);
  tree.owner("plain/mode-4755", 1000, 1000, 0o4755);
  tree.owner("plain/soft", 7, 8);
}

function addNames(tree: Tree): void {
  tree.directory("names");
  const odd = [
    "a b",
    " ",
    "-",
    "--help",
    "...",
    ".hidden",
    "new\nline",
    "tab\t",
    "back\\slash",
    "\\n",
    "'\"`$(x)",
    "\x01\x02\x1b[31m\x7f",
    "=",
    "1 path=x",
    "é-composed",
    "e\u0301-decomposed",
    "😀",
    "PaxHeaders.1",
    "@LongLink",
    "wh.not-a-whiteout",
    "x".repeat(255),
  ];
  for (const name of odd) {
    tree.file(`names/${name}`, name);
    tree.symlink(`names/s${name.slice(0, 250)}`, name);
  }
  tree.file(latin1("names/\xff\xfe not UTF-8 \x80"), "bytes");
  tree.symlink(latin1("names/\xc3 target"), latin1("\xff\xfe not UTF-8 \x80"));
  tree.link(latin1("names/\xe9 link"), latin1("names/\xff\xfe not UTF-8 \x80"));
  // Paths, targets and links of the lengths at which formats change their ways.
  for (const length of [98, 99, 100, 101, 154, 155, 156, 254, 255, 256, 257, 1000]) {
    const path = longPath(`lengths-${length}`, length, (directory) => tree.directory(directory));
    tree.file(path, String(length));
    tree.symlink(`names/soft-${length}`, "t".repeat(length));
    tree.link(`names/hard-${length}`, path);
  }
  tree.symlink("names/soft-4095", "/".padEnd(4095, "y/"));
  let deep = "deep";
  tree.directory(deep);
  for (let level = 0; level < 150; level++) {
    deep = `${deep}/level-${level}-${"d".repeat(12)}`;
    tree.directory(deep, 0o750);
  }
  tree.file(`${deep}/bottom`, "deep down");
}

/** A path of so many bytes below a directory, made of components of at most 50. */
function longPath(base: string, length: number, onDirectory: (path: string) => void): string {
  onDirectory(base);
  let path = base;
  while (length - path.length > 60) {
    path = `${path}/${"p".repeat(49)}`;
    onDirectory(path);
  }
  return `${path}/${"f".repeat(length - path.length - 1)}`;
}

function addNumbers(tree: Tree): void {
  tree.directory("numbers");
  for (const [index, id] of [2_097_152, 65_534, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2].entries()) {
    tree.file(`numbers/owner-${index}`, "x");
    tree.owner(`numbers/owner-${index}`, id, id - index);
  }
  for (const [index, seconds] of [-1, -86_400, -(2 ** 31), 2 ** 31, 2 ** 33 - 1, 2 ** 33, 15_000_000_000].entries()) {
    tree.file(`numbers/time-${index}`, "x");
    tree.time(`numbers/time-${index}`, seconds, 0);
  }
  for (const [index, nanoseconds] of [1, 999_999_999, 500_000_000, 123_456_789].entries()) {
    tree.file(`numbers/nanoseconds-${index}`, "x");
    tree.time(`numbers/nanoseconds-${index}`, index === 1 ? -5 : 1_234_567_890, nanoseconds);
  }
  tree.node("numbers/device", S_IFCHR, 0o600, [4095, 1_048_575]);
  tree.node("numbers/other", S_IFBLK, 0o600, [255, 256]);
}

function addSparse(tree: Tree): void {
  const block = noise(4096);
  tree.directory("sparse");
  tree.sparse("sparse/nothing", 1 << 20, []);
  tree.sparse("sparse/hole-first", (1 << 20) + 4096, [[1 << 20, block]]);
  tree.sparse("sparse/hole-last", 1 << 20, [[0, block]]);
  tree.sparse("sparse/ends-oddly", 1_000_001, [[8192, block.subarray(0, 100)]]);
  // A header has room for four regions, and each of the blocks that follow it for twenty-one.
  for (const count of [4, 5, 25, 26, 60]) {
    const regions = Array.from({ length: count }, (_, index): [number, Uint8Array] => [index * 65_536, block]);
    tree.sparse(`sparse/regions-${count}`, count * 65_536, regions);
  }
  // More than eleven octal digits, and more than 32 bits.
  tree.sparse("sparse/huge", 10 * 2 ** 30 + 7, [[9 * 2 ** 30, block]]);
  tree.link("sparse/huge-link", "sparse/huge");
}

function addXattrs(tree: Tree): void {
  tree.directory("xattrs");
  tree.file("xattrs/file", "x");
  tree.xattr("xattrs/file", "user.text", "value");
  tree.xattr("xattrs/file", "user.binary", new Uint8Array([0, 1, 10, 61, 255, 0]));
  tree.xattr("xattrs/file", "user.empty", "");
  tree.xattr("xattrs/file", "user.name with space", "x");
  tree.xattr("xattrs/file", "user.é", "x");
  tree.file("xattrs/large", "x");
  tree.xattr("xattrs/large", "user.large", noise(3000));
  tree.xattr("xattrs", "user.directory", "of a directory");
  tree.file("xattrs/capable", "x", 0o755);
  tree.owner("xattrs/capable", 5, 6, 0o4755);
  tree.xattr("xattrs/capable", "security.capability", capability);
  tree.link("xattrs/capable-link", "xattrs/capable");
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}
