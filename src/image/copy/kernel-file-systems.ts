/** File systems in which the kernel itself speaks: what is in them are no files to be copied. */
import { O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { openat2 } from "../../../ffi/files.ts";
import { fstatfs, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno } from "../../core/errors.ts";

/** linux/magic.h */
const kernelFileSystems: Readonly<Record<number, string>> = {
  40864: "proc",
  1650812274: "sysfs",
  2613483: "cgroup",
  1667723888: "cgroup2",
  1684170528: "debugfs",
  1953653091: "tracefs",
  1935894131: "securityfs",
  4185718668: "selinuxfs",
  1634035564: "pstore",
  3730735588: "efivarfs",
  3405662737: "bpf",
  1650812272: "configfs",
  7377: "devpts",
  427819522: "mqueue",
  1853056627: "nsfs",
  1112100429: "binfmt_misc",
  1702057283: "fusectl",
};

/** @throws EngineError forbidden for what lies in such a file system. */
export function assertCopyable(thing: Fd, path: string): void {
  const type = kernelFileSystems[fstatfs(thing).type];
  if (type === undefined) return;
  throw new EngineError("forbidden", `${path} is in the kernel's ${type} file system, which holds no files to copy`);
}

/**
 * Tells which directories are left empty when a directory above them is copied: mounts of the kernel's, and the /dev that
 * a container has while it runs.
 */
export function kernelMounts(root: Fd): (directory: Fd, path: string, parent: Fd) => boolean {
  const devices = mountOfDevices(root);
  return (directory, _path, parent) => {
    const { mountId } = statx(directory);
    if (mountId === statx(parent).mountId) return false;
    return mountId === devices || fstatfs(directory).type in kernelFileSystems;
  };
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
