/** Controllers and security modules of this kernel. */
import { readFileSync } from "node:fs";
import { readHost } from "../../bundle/host.ts";
import { readOptional } from "./host.ts";
import type { HostFacts } from "./system.ts";

export function readHostFacts(): HostFacts {
  const { cgroupVersion, swapLimit, apparmor } = readHost();
  return { controllers: cgroupVersion === 2 ? unifiedControllers() : mountedControllers(), swapLimit, apparmor };
}

/** cgroups(7), "Cgroups version 2". */
function unifiedControllers(): Set<string> {
  return new Set((readOptional("/sys/fs/cgroup/cgroup.controllers") ?? "").trim().split(/\s+/));
}

/** The options of version 1's mounts name their controllers. */
function mountedControllers(): Set<string> {
  const mounts = readFileSync("/proc/self/mounts", "utf8");
  return new Set([...mounts.matchAll(/^\S+ \S+ cgroup (\S+)/gm)].flatMap((match) => match[1]!.split(",")));
}
