/** File systems in which the kernel itself speaks: what is in them are no files to be copied. */
import { O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { openat2 } from "../../../ffi/files.ts";
import { fstatfs, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno } from "../../core/errors.ts";

/** linux/magic.h */
const kernelFileSystems: ReadonlyMap<number, string> = new Map([
  [0x9fa0, "proc"],
  [0x62656572, "sysfs"],
  [0x27e0eb, "cgroup"],
  [0x63677270, "cgroup2"],
  [0x64626720, "debugfs"],
  [0x74726163, "tracefs"],
  [0x73636673, "securityfs"],
  [0xf97cff8c, "selinuxfs"],
  [0x6165676c, "pstore"],
  [0xde5e81e4, "efivarfs"],
  [0xcafe4a11, "bpf"],
  [0x62656570, "configfs"],
  [0x1cd1, "devpts"],
  [0x19800202, "mqueue"],
  [0x6e736673, "nsfs"],
  [0x42494e4d, "binfmt_misc"],
  [0x65735543, "fusectl"],
]);

/** @throws EngineError forbidden for what lies in such a file system. */
export function assertCopyable(thing: Fd, path: string): void {
  const type = kernelFileSystems.get(fstatfs(thing).type);
  if (type === undefined) return;
  throw new EngineError("forbidden", `${path} is in the kernel's ${type} file system, which holds no files to copy`);
}

/**
 * Tells of what is mounted somewhere in a tree whether it is left alone when a directory above it is copied, or copied
 * into: mounts of the kernel's, and the /dev that a container has while it runs.
 * @param from where the copy begins: what has been named itself is copied.
 */
export function kernelMounts(root: Fd, from: Fd): (thing: Fd) => boolean {
  const found = mountOfDevices(root);
  const devices = found === statx(from).mountId ? undefined : found;
  return (thing) => kernelFileSystems.has(fstatfs(thing).type) || statx(thing).mountId === devices;
}

function mountOfDevices(root: Fd): bigint | undefined {
  try {
    using dev = openat2(root, "/dev", { flags: O_PATH, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
    const { mountId } = statx(dev);
    return mountId === statx(root).mountId ? undefined : mountId;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}
