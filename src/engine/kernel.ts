/** Cgroups and mounts of containers that nobody else looks after. */

import { readFileSync } from "node:fs";
import { write } from "../../ffi/files.ts";
import { openCgroup } from "../runtime/cgroup/cgroup.ts";
import { unmountRootfs } from "../shim/rootfs.ts";
import type { KernelPart } from "./parts.ts";

export class CgroupKernel implements KernelPart {
  killCgroup(path: string): void {
    const cgroup = openCgroup(path);
    if (cgroup.exists()) cgroup.kill();
  }

  removeCgroup(path: string): void {
    const cgroup = openCgroup(path);
    if (cgroup.exists()) cgroup.remove();
  }

  unmount(directory: string): void {
    unmountRootfs(directory);
  }
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
