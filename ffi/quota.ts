/**
 * Project quotas: every file may belong to a project, a number, and the file system counts what each project takes and
 * may limit it. ioctl(2) FS_IOC_FSSETXATTR (ioctl_xfs_fsgetxattr(2)) and quotactl(2).
 */
import {
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  FS_QUOTA_PDQ_ACCT,
  FS_QUOTA_PDQ_ENFD,
  FS_XFLAG_PROJINHERIT,
  PRJQUOTA,
  Q_GETQUOTA,
  Q_SETQUOTA,
  Q_XGETQSTAT,
  QIF_BLIMITS,
} from "./constants/quota.ts";
import { SYS } from "./constants/syscalls.ts";
import type { Fd } from "./fd.ts";
import { ioctl } from "./files.ts";
import { statx } from "./stat.ts";
import { check, cString, syscall } from "./syscall.ts";

export interface Project {
  /** 0: none. */
  id: number;
  /** What is made in the directory belongs to its project. */
  inherits: boolean;
}

/** The project of a file or directory. @throws SyscallError ENOTTY or EOPNOTSUPP where the file system has no projects. */
export function projectOf(file: Fd): Project {
  const view = new DataView(fileAttributes(file).buffer);
  return { id: view.getUint32(12, true), inherits: (view.getUint32(0, true) & FS_XFLAG_PROJINHERIT) !== 0 };
}

/**
 * Puts a file or directory, and not what is in it, into a project. What it takes counts for that from now on.
 * @throws SyscallError EDQUOT where that is more than the project may have, EOPNOTSUPP or ENOTTY without projects.
 */
export function setProject(file: Fd, { id, inherits }: Project): void {
  const attributes = fileAttributes(file);
  const view = new DataView(attributes.buffer);
  const others = view.getUint32(0, true) & ~FS_XFLAG_PROJINHERIT;
  view.setUint32(0, others | (inherits ? FS_XFLAG_PROJINHERIT : 0), true);
  view.setUint32(12, id, true);
  ioctl(file, "FS_IOC_FSSETXATTR", FS_IOC_FSSETXATTR, attributes);
}

/** struct fsxattr: flags, extent size, extents, project, extent size of copies on write; 8 bytes of padding. */
function fileAttributes(file: Fd): Uint8Array<ArrayBuffer> {
  const attributes = new Uint8Array(28);
  ioctl(file, "FS_IOC_FSGETXATTR", FS_IOC_FSGETXATTR, attributes);
  return attributes;
}

export interface ProjectUsage {
  /** Bytes; 0: no limit. Some file systems round it up to their blocks. */
  limit: number;
  /** Bytes on the disk, and what is yet to be written there. */
  used: number;
  inodes: number;
}

/** `struct if_dqblk`: eight words and `dqb_valid`. Limits are in blocks of 1024 bytes, whatever the file system's. */
const quotaBytes = 72;
const limitUnit = 1024;

/** What a project takes and may take on the file system of `file`. @throws SyscallError ESRCH, ENOSYS where it does not count. */
export function projectUsage(file: Fd, id: number, byDescriptor = takesDescriptors()): ProjectUsage {
  const quota = new Uint8Array(quotaBytes);
  const result = quotactl(file, { command: Q_GETQUOTA, id, argument: quota, byDescriptor });
  const ENOENT = 2;
  // XFS says so of a project that nothing has ever belonged to.
  if (result === -ENOENT) return { limit: 0, used: 0, inodes: 0 };
  check("quotactl", result, `Q_GETQUOTA of project ${id}`);
  const word = (index: number) => Number(new DataView(quota.buffer).getBigUint64(index * 8, true));
  return { limit: word(0) * limitUnit, used: word(2), inodes: word(5) };
}

/** Limits what a project takes on the file system of `file`: bytes, rounded up to 1024; 0: no limit. */
export function setProjectLimit(file: Fd, id: number, bytes: number, byDescriptor = takesDescriptors()): void {
  const quota = new Uint8Array(quotaBytes);
  const view = new DataView(quota.buffer);
  view.setBigUint64(0, BigInt(Math.ceil(bytes / limitUnit)), true);
  view.setUint32(64, QIF_BLIMITS, true);
  const result = quotactl(file, { command: Q_SETQUOTA, id, argument: quota, byDescriptor });
  check("quotactl", result, `Q_SETQUOTA of project ${id}`);
}

/** Whether the file system of `file` counts what projects take, and whether it limits them. */
export function projectAccounting(file: Fd, byDescriptor = takesDescriptors()): { counts: boolean; limits: boolean } {
  // struct fs_quota_stat has 80 bytes; its flags are the 16 bits after version and padding.
  const state = new Uint8Array(80);
  const result = quotactl(file, { command: Q_XGETQSTAT, id: 0, argument: state, byDescriptor });
  if (result < 0) return { counts: false, limits: false };
  const flags = new DataView(state.buffer).getUint16(2, true);
  return { counts: (flags & FS_QUOTA_PDQ_ACCT) !== 0, limits: (flags & FS_QUOTA_PDQ_ENFD) !== 0 };
}

interface QuotaCall {
  command: number;
  id: number;
  argument: Uint8Array;
  byDescriptor: boolean;
}

/** @returns the kernel's answer as it is: -errno on failure. */
function quotactl(file: Fd, { command, id, argument, byDescriptor }: QuotaCall): number {
  const request = ((command << 8) | PRJQUOTA) >>> 0;
  if (byDescriptor) return syscall(SYS.quotactl_fd, file.number, request, id, argument);
  const { deviceMajor, deviceMinor } = statx(file);
  return syscall(SYS.quotactl, request, cString(`/dev/block/${deviceMajor}:${deviceMinor}`), id, argument);
}

/** Since Linux 5.14; before, the file system is named by its block device. */
function takesDescriptors(): boolean {
  const ENOSYS = 38;
  return syscall(SYS.quotactl_fd, -1, 0, 0, null) !== -ENOSYS;
}
