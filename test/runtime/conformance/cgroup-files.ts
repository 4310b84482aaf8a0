/** What the kernel's files say of a container's cgroup. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { OciRuntime } from "../../harness/oci-runtime.ts";
import { isCgroup2 } from "../../harness/runtime-under-test.ts";

/** A file by its name in v1 and in v2: `memory.limit_in_bytes`, `memory.max`. */
export type FileNames = readonly [v1: string, v2: string];

/** Its path: v1's controller is what the name begins with. */
export function cgroupPath(runtime: OciRuntime, id: string, [v1, v2]: FileNames): string {
  const controller = v1.slice(0, v1.indexOf("."));
  const directory = runtime.cgroups(id).find((path) => isCgroup2 || path.startsWith(`/sys/fs/cgroup/${controller}/`));
  return `${directory}/${isCgroup2 ? v2 : v1}`;
}

/** Its text without the last newline; undefined where this kernel has no such file. */
export function cgroupFile(runtime: OciRuntime, id: string, names: FileNames): string | undefined {
  const path = cgroupPath(runtime, id, names);
  return existsSync(path) ? readFileSync(path, "utf8").trimEnd() : undefined;
}

/** Whether the freezer stands still. */
export function isFrozen(runtime: OciRuntime, id: string): boolean {
  const text = cgroupFile(runtime, id, ["freezer.state", "cgroup.events"]);
  return isCgroup2 ? /^frozen 1$/m.test(text ?? "") : text === "FROZEN";
}

/** `254:0`: a disk of this machine, or what stands for one; undefined where it has no block device at all. */
export function diskNumber(): string | undefined {
  const names = readdirSync("/sys/block");
  const disk = names.find((name) => /^[vs]d/.test(name)) ?? names[0];
  return disk && readFileSync(`/sys/block/${disk}/dev`, "utf8").trim();
}
