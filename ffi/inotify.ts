/** inotify(7): the kernel tells what happens to the files of a directory. */
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { call, cString } from "./syscall.ts";
import { decodeText } from "./text.ts";

const IN_CLOEXEC = 0o2000000;
const IN_NONBLOCK = 0o4000;
export const IN_MODIFY = 0x2;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
/** Events were lost: the queue was full. Of no watch. */
export const IN_Q_OVERFLOW = 0x4000;
/** The watch is gone, with its directory or because it was removed. */
export const IN_IGNORED = 0x8000;

/** struct inotify_event: watch, mask, cookie, length of the name that follows, padded with NULs. */
const headBytes = 16;

/** A descriptor to read events from. @throws SyscallError EMFILE (/proc/sys/fs/inotify/max_user_instances) */
export function inotify(): Fd {
  return new Fd(call("inotify_init1", undefined, IN_CLOEXEC | IN_NONBLOCK));
}

/** @returns the watch; the same for a directory that has one. @throws SyscallError ENOSPC (max_user_watches), ENOENT */
export function addWatch(events: Descriptor, path: string, mask: number): number {
  return call("inotify_add_watch", path, descriptorNumber(events), cString(path), mask);
}

/** @throws SyscallError EINVAL for one that is gone with its directory. */
export function removeWatch(events: Descriptor, watch: number): void {
  call("inotify_rm_watch", undefined, descriptorNumber(events), watch);
}

/** Calls `each` for every event of one read. */
export function readEvents(bytes: Uint8Array, each: (watch: number, mask: number, name: string) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const length = view.getUint32(at + 12, true);
    const name = bytes.subarray(at + headBytes, at + headBytes + length);
    const end = name.indexOf(0);
    each(view.getInt32(at, true), view.getUint32(at + 4, true), decodeText(end < 0 ? name : name.subarray(0, end)));
    at += headBytes + length;
  }
}
