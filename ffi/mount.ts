/** The mount calls, old and new, for work in this process's own mount namespace. A container's are records of a plan. */

import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FD,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOVE_MOUNT_F_EMPTY_PATH,
  OPEN_TREE_CLOEXEC,
} from "./constants/mount.ts";
import { AT_EMPTY_PATH, AT_FDCWD } from "./constants/open.ts";
import { SYS } from "./constants/syscalls.ts";
import { SyscallError } from "./errno.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { call, cString, syscall } from "./syscall.ts";

/** mount(2); `flags` are MS_*. */
export function mount(
  source: string | null,
  target: string,
  type: string | null,
  flags: number,
  data: string | null = null,
): void {
  const text = (value: string | null) => (value === null ? null : cString(value));
  const what = `${type ?? source ?? ""} on ${target}`.trim();
  call("mount", what, text(source), cString(target), text(type), flags, text(data));
}

/** umount2(2); `flags` are MNT_* and UMOUNT_NOFOLLOW. */
export function umount2(target: string, flags = 0): void {
  call("umount2", target, cString(target), flags);
}

export function pivot_root(newRoot: string, putOld: string): void {
  call("pivot_root", newRoot, cString(newRoot), cString(putOld));
}

/** fsopen(2): a context in which a new file system is configured. */
export function fsopen(type: string): Fd {
  return new Fd(call("fsopen", type, cString(type), FSOPEN_CLOEXEC));
}

/**
 * fsconfig(2): sets one parameter, to a text, to a descriptor, or as a flag without a value (`true`).
 * @throws SyscallError whose path is what the file system itself said, where it said something.
 */
export function fsconfig(context: Fd, key: string, value: string | Fd | true): void {
  const number = context.number;
  let result: number;
  if (value === true) result = syscall(SYS.fsconfig, number, FSCONFIG_SET_FLAG, cString(key), null, 0);
  else if (value instanceof Fd) {
    result = syscall(SYS.fsconfig, number, FSCONFIG_SET_FD, cString(key), null, value.number);
  } else result = syscall(SYS.fsconfig, number, FSCONFIG_SET_STRING, cString(key), cString(value), 0);
  checkContext(context, "fsconfig", result, key);
}

/** Makes the file system (FSCONFIG_CMD_CREATE) and its mount, which is attached nowhere yet; `attributes` are MOUNT_ATTR_*. */
export function fsmount(context: Fd, attributes = 0): Fd {
  checkContext(
    context,
    "fsconfig",
    syscall(SYS.fsconfig, context.number, FSCONFIG_CMD_CREATE, null, null, 0),
    "create",
  );
  return mountOf(context, attributes);
}

/** fsmount(2): the mount of a file system that was made. */
export function mountOf(context: Fd, attributes: number): Fd {
  const result = syscall(SYS.fsmount, context.number, FSMOUNT_CLOEXEC, attributes);
  return new Fd(checkContext(context, "fsmount", result, ""));
}

function checkContext(context: Fd, name: string, result: number, what: string): number {
  if (result >= 0) return result;
  throw contextError(context, name, -result, what);
}

/** With what the file system said about it. */
export function contextError(context: Fd, name: string, errno: number, what: string): SyscallError {
  const said = readContextLog(context.number);
  return new SyscallError(name, errno, [what, ...said].filter((text) => text !== "").join(": "));
}

/** What the file system has to say: each read of a context gives one line such as `e overlay: …`, then ENODATA. */
function readContextLog(context: number): string[] {
  const lines: string[] = [];
  const buffer = new Uint8Array(4096);
  for (let length = 1; length > 0; ) {
    length = syscall(SYS.read, context, buffer, buffer.length);
    if (length > 0)
      lines.push(
        Buffer.from(buffer.subarray(0, length))
          .toString()
          .trim()
          .replace(/^[ewi] /, ""),
      );
  }
  return lines;
}

/** open_tree(2): a mount by descriptor; with OPEN_TREE_CLONE in `flags` a copy (a bind mount) that is attached nowhere. */
export function open_tree(directory: Descriptor, path: string, flags: number): Fd {
  return new Fd(call("open_tree", path, descriptorNumber(directory), cString(path), flags | OPEN_TREE_CLOEXEC));
}

/** move_mount(2): attaches a mount held by descriptor at a path; an empty path is `directory` itself (MOVE_MOUNT_T_EMPTY_PATH). */
export function move_mount(
  tree: Descriptor,
  directory: Descriptor,
  path: string,
  flags = MOVE_MOUNT_F_EMPTY_PATH,
): void {
  const target = descriptorNumber(directory);
  call("move_mount", path, descriptorNumber(tree), cString(""), target, cString(path), flags);
}

export interface MountAttributes {
  /** MOUNT_ATTR_*. */
  set?: number;
  clear?: number;
  /** MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE. */
  propagation?: number;
  /** A user namespace whose mappings the mount takes, with MOUNT_ATTR_IDMAP in `set`. */
  userNamespace?: Descriptor;
}

/** struct mount_attr of mount_setattr(2). */
export function packMountAttributes(attributes: MountAttributes): Uint8Array {
  const { set = 0, clear = 0, propagation = 0, userNamespace } = attributes;
  const descriptor = userNamespace === undefined ? 0 : descriptorNumber(userNamespace);
  return new Uint8Array(new BigUint64Array([set, clear, propagation, descriptor].map(BigInt)).buffer);
}

/** mount_setattr(2) of a mount held by descriptor, with AT_RECURSIVE in `flags` of all below it too. */
export function mount_setattr(tree: Descriptor, attributes: MountAttributes, flags = 0): void {
  const struct = packMountAttributes(attributes);
  call("mount_setattr", undefined, descriptorNumber(tree), cString(""), flags | AT_EMPTY_PATH, struct, struct.length);
}

/** mount_setattr(2) of the mount at a path. */
export function setMountAttributes(path: string, attributes: MountAttributes, flags = 0): void {
  const struct = packMountAttributes(attributes);
  call("mount_setattr", path, AT_FDCWD, cString(path), flags, struct, struct.length);
}
