/** Cgroups and mounts of containers that nobody else looks after. */

import { readFileSync } from "node:fs";
import { write } from "../../ffi/files.ts";
import type { InterfaceStats } from "../api/schema/stats.ts";
import { isErrno } from "../core/errors.ts";
import { openCgroup } from "../runtime/cgroup/cgroup.ts";
import { OomFollower } from "../runtime/cgroup/oom-follower.ts";
import { unmountRootfs } from "../shim/rootfs.ts";
import type { OomVictim } from "./container/end.ts";
import type { ContainerUsage, KernelPart } from "./parts.ts";
import { findOomVictim } from "./story/kernel-log.ts";

export class CgroupKernel implements KernelPart {
  readonly #ooms = new OomFollower();

  killCgroup(path: string): void {
    const cgroup = openCgroup(path);
    if (cgroup.exists()) cgroup.kill();
  }

  removeCgroup(path: string): void {
    const cgroup = openCgroup(path);
    if (cgroup.exists()) cgroup.remove();
  }

  followOom(path: string, onOom: () => void, options: { past: boolean }): (() => void) | undefined {
    return this.#ooms.follow(openCgroup(path), onOom, options);
  }

  oomVictim(containerId: string, sinceMs: number): Promise<OomVictim | undefined> {
    return findOomVictim(containerId, sinceMs);
  }

  unmount(directory: string): void {
    unmountRootfs(directory);
  }

  processes(path: string): number[] {
    return openCgroup(path)
      .pids()
      .sort((a, b) => a - b);
  }

  usage(path: string): ContainerUsage | undefined {
    const usage = openCgroup(path).usage();
    return Object.keys(usage).length === 0 ? undefined : usage;
  }

  interfaces(pid: number): ReadonlyMap<string, InterfaceStats> | undefined {
    try {
      return parseInterfaces(readFileSync(`/proc/${pid}/net/dev`, "utf8"));
    } catch (error) {
      // EINVAL: it has ended, and nobody has waited for it yet.
      if (isErrno(error, "ENOENT", "ESRCH", "EINVAL")) return undefined;
      throw error;
    }
  }
}

/** proc_pid_net(5): two lines of headings, and one for each interface, `eth0: 90 1 0 0 0 0 0 0 90 1 0 0 0 0 0 0`. */
export function parseInterfaces(text: string): Map<string, InterfaceStats> {
  const interfaces = new Map<string, InterfaceStats>();
  for (const line of text.split("\n").slice(2)) {
    const [, name, numbers] = /^\s*(\S+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const counts = numbers!.trim().split(/\s+/).map(Number);
    const [rx, tx] = [counts.slice(0, 8), counts.slice(8)];
    interfaces.set(name, {
      rx_bytes: rx[0]!,
      rx_packets: rx[1]!,
      rx_errors: rx[2]!,
      rx_dropped: rx[3]!,
      tx_bytes: tx[0]!,
      tx_packets: tx[1]!,
      tx_errors: tx[2]!,
      tx_dropped: tx[3]!,
    });
  }
  return interfaces;
}

/** Whether this process is a unit's of systemd, and so are, in its cgroup, the processes that it starts. */
export function isServiceUnit(membership: string = readFileSync("/proc/self/cgroup", "utf8")): boolean {
  return /\.service(\/|$)/m.test(membership);
}

/**
 * Takes a process out of the daemon's cgroup, so that what is done to the unit (its limits, systemd-oomd, `systemctl
 * kill`) is not done to the containers' shims.
 */
export function moveToCgroup(pid: number, path: string): void {
  const cgroup = openCgroup(path);
  cgroup.create();
  for (const procs of cgroup.procsFds()) {
    using file = procs;
    write(file, String(pid));
  }
}
