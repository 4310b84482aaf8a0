import { AT_FDCWD, O_RDONLY } from "../../ffi/constants/open.ts";
import { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { readlinkSync } from "../../ffi/fs.ts";
import { statx } from "../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../core/errors.ts";
import type { LinuxNamespaceType } from "../oci/runtime.ts";
import type { ContainerStdio } from "./options.ts";

/** The names below /proc/<pid>/ns: namespaces(7). */
export const namespaceFiles: Readonly<Record<LinuxNamespaceType, string>> = {
  mount: "mnt",
  pid: "pid",
  network: "net",
  uts: "uts",
  ipc: "ipc",
  user: "user",
  cgroup: "cgroup",
  time: "time",
};

/**
 * The descriptors that a plan names (plan/context.ts), collected while it is prepared and closed when it runs. What the
 * caller owns is a number here, what was opened for the plan an Fd.
 */
export class PlanDescriptors implements Disposable {
  readonly named: Record<string, Fd | number> = {};

  /** Takes ownership of an Fd. One of the same name is closed. */
  add(name: string, descriptor: Fd | number): void {
    const former = this.named[name];
    if (former instanceof Fd) former.close();
    this.named[name] = descriptor;
  }

  addStdio(stdio: ContainerStdio): void {
    if (!("stdin" in stdio)) return;
    this.add("stdin", stdio.stdin);
    this.add("stdout", stdio.stdout);
    this.add("stderr", stdio.stderr);
  }

  /** @throws EngineError invalid_argument when one of the descriptors 3 … 2 + count was not handed to this process. */
  addPreserved(count: number): void {
    for (let number = 3; number < 3 + count; number++) {
      if (!isInherited(number)) {
        const last = 2 + count;
        throw new EngineError("invalid_argument", `preserved descriptor ${number} (of 3 to ${last}) is not open`);
      }
      this.add(`preserved.${number}`, number);
    }
  }

  /** Opens a namespace to join; the plan's setns(2) checks that it is one, and of that type. */
  addNamespace(type: LinuxNamespaceType, path: string): void {
    try {
      this.add(`namespace.${type}`, open(path, O_RDONLY));
    } catch (error) {
      throw wrapError(error, `linux.namespaces: join ${type}`);
    }
  }

  /** Whether the namespace that was added is the one that this process itself is in: the host's, as a rule. */
  isOwnNamespace(type: LinuxNamespaceType): boolean {
    const given = this.named[`namespace.${type}`];
    if (given === undefined) return false;
    const [theirs, mine] = [statx(given), statx(AT_FDCWD, `/proc/self/ns/${namespaceFiles[type]}`, 0)];
    return theirs.inode === mine.inode && theirs.deviceMinor === mine.deviceMinor;
  }

  [Symbol.dispose](): void {
    for (const descriptor of Object.values(this.named)) if (descriptor instanceof Fd) descriptor.close();
  }
}

/**
 * Bun opens its own first descriptor, an epoll, at the lowest free number: where that lies in the range, the caller
 * left a gap there.
 */
function isInherited(number: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${number}`) !== "anon_inode:[eventpoll]";
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}
