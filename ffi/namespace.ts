/** Namespaces of this thread. The calls change the calling thread alone; JavaScript runs on the main one. */

import { MS_REC, MS_SLAVE } from "./constants/mount.ts";
import { CLONE_FS, CLONE_NEWNS, NS_GET_PARENT, NS_GET_USERNS } from "./constants/namespace.ts";
import { O_DIRECTORY, O_PATH, O_RDONLY } from "./constants/open.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { open } from "./files.ts";
import { mount } from "./mount.ts";
import { call, cString } from "./syscall.ts";

/** setns(2); `type` is a CLONE_NEW* that the descriptor must be of, 0 for any. */
export function setns(namespace: Descriptor, type = 0): void {
  call("setns", undefined, descriptorNumber(namespace), type);
}

/** The namespace in which a user or pid namespace was made (ioctl_ns(2)). @throws SyscallError EPERM beyond the caller's own. */
export function parentNamespace(namespace: Descriptor): Fd {
  return new Fd(call("ioctl", "NS_GET_PARENT", descriptorNumber(namespace), NS_GET_PARENT, 0));
}

/** The user namespace that another namespace belongs to (ioctl_ns(2)). @throws SyscallError EPERM beyond the caller's own. */
export function owningUserNamespace(namespace: Descriptor): Fd {
  return new Fd(call("ioctl", "NS_GET_USERNS", descriptorNumber(namespace), NS_GET_USERNS, 0));
}

/** unshare(2). CLONE_NEWUSER and CLONE_NEWNS with shared CLONE_FS are refused in a process with threads. */
export function unshare(flags: number): void {
  call("unshare", undefined, flags);
}

/**
 * A new network namespace, with nothing in it but a loopback that is down. It lives as long as the descriptor, a
 * process inside, or a mount of it does. The main thread is inside for two calls and comes back before anything runs.
 */
export function createNetworkNamespace(): Fd {
  const CLONE_NEWNET = 0x40000000;
  using own = open("/proc/thread-self/ns/net", O_RDONLY);
  unshare(CLONE_NEWNET);
  try {
    return open("/proc/thread-self/ns/net", O_RDONLY);
  } finally {
    comeBack(own);
  }
}

/**
 * Runs `work` with the main thread in another network namespace, and returns before anything else runs. The work must
 * be synchronous: nothing of the event loop may see that namespace.
 */
export function inNetworkNamespace<T>(namespace: Descriptor, work: () => T): T {
  const CLONE_NEWNET = 0x40000000;
  using own = open("/proc/thread-self/ns/net", O_RDONLY);
  setns(namespace, CLONE_NEWNET);
  try {
    return work();
  } finally {
    comeBack(own);
  }
}

/**
 * Runs `work` with the main thread in a new mount namespace, which is a copy of its own: what is mounted meanwhile
 * shows nowhere else, and is gone with the last process that `work` has started. The work must be synchronous.
 *
 * JavaScript's engine may start threads meanwhile, to collect garbage: they stay there until they end, which is after
 * ten seconds without work, and open no files.
 */
export function inPrivateMounts<T>(work: () => T): T {
  using own = open("/proc/thread-self/ns/mnt", O_RDONLY);
  using root = open("/", O_PATH | O_DIRECTORY);
  using directory = open(".", O_PATH | O_DIRECTORY);
  unshare(CLONE_NEWNS | CLONE_FS);
  try {
    mount(null, "/", null, MS_REC | MS_SLAVE);
    return work();
  } finally {
    orAbort("mount", () => {
      // Such a thread shares root and directory with the one that starts it, and who shares them enters no mount
      // namespace.
      unshare(CLONE_FS);
      setns(own, CLONE_NEWNS);
      // setns(2) enters the root of the namespace; this process may have another one.
      call("fchdir", "/", root.number);
      call("chroot", "/", cString("."));
      call("fchdir", ".", directory.number);
    });
  }
}

/** A thread that cannot come back must not go on: whatever it did next would be done to a container. */
function comeBack(own: Fd): void {
  const CLONE_NEWNET = 0x40000000;
  orAbort("network", () => setns(own, CLONE_NEWNET));
}

function orAbort(namespace: string, comeBack: () => void): void {
  try {
    comeBack();
  } catch (error) {
    process.stderr.write(`cannot return to the own ${namespace} namespace: ${error}\n`);
    process.abort();
  }
}

export function sethostname(name: string): void {
  const bytes = cString(name);
  call("sethostname", name, bytes, bytes.length - 1);
}

/** prctl(2) with numbers as arguments. */
export function prctl(option: number, ...args: number[]): number {
  return call("prctl", undefined, option, args[0] ?? 0, args[1] ?? 0, args[2] ?? 0, args[3] ?? 0);
}
