import { readdirSync, readFileSync } from "node:fs";
import type { Workspace } from "../harness/workspace.ts";

/** The pid of the resolver of a workspace's daemon; undefined when there is none. */
export function resolverPid({ directory }: Workspace): number | undefined {
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const [, mode, ...rest] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (mode === "resolver" && rest.some((word) => word.includes(directory))) return Number(pid);
    } catch {
      // It ended while it was looked at.
    }
  }
  return undefined;
}
