/** Which namespaces this process shares with the host: told by their inode numbers, with nothing to compare them to. */
import { readlinkSync } from "node:fs";
import { isErrno } from "../core/errors.ts";

export interface NamespaceFact {
  type: string;
  /** The number in /proc/self/ns. */
  inode: number;
  /** "host" is the kernel's first of its kind. */
  owner: "own" | "host";
}

/** namespaces(7), in the order in which people ask for them; as /proc/self/ns names them. */
const types = {
  mount: "mnt",
  pid: "pid",
  network: "net",
  uts: "uts",
  ipc: "ipc",
  cgroup: "cgroup",
  user: "user",
  time: "time",
};

/**
 * The kernel's first namespaces have fixed numbers below this one (include/linux/proc_ns.h); all others are counted
 * from here on.
 */
const dynamicFirst = 0xf0000000;
/**
 * Before Linux 6.18 the first mount and network namespaces are counted too. They are made while the kernel starts;
 * a thousand entries of /proc take their numbers from the same counter before there can be a container.
 */
const duringStart = 256;

export function readNamespaces(proc: string): NamespaceFact[] {
  return Object.entries(types).flatMap(([type, name]) => {
    const inode = inodeOf(`${proc}/self/ns/${name}`);
    if (inode === undefined) return [];
    const counted = type === "mount" || type === "network";
    return [{ type, inode, owner: inode < dynamicFirst + (counted ? duringStart : 0) ? "host" : "own" } as const];
  });
}

/** `pid:[4026531836]`; undefined on a kernel without that kind. */
function inodeOf(path: string): number | undefined {
  try {
    return Number(/\[(\d+)\]/.exec(readlinkSync(path))?.[1]);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
