/** What the kernel says of the cgroup of a process, on cgroup v1 and v2. */
import { existsSync, readFileSync } from "node:fs";

export const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** A limit without its newline. @param v1 the controller's file; `v2` that of the one hierarchy. */
export function cgroupLimit(pid: number, controller: string, v1: string, v2: string): string {
  for (const line of readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (isUnified && controllers === "") return readFileSync(`/sys/fs/cgroup${path}/${v2}`, "utf8").trim();
    if (!controllers.split(",").includes(controller)) continue;
    const directory = [controllers, controller].map((each) => `/sys/fs/cgroup/${each}`).find(existsSync)!;
    return readFileSync(`${directory}${path}/${v1}`, "utf8").trim();
  }
  throw new Error(`process ${pid} is in no cgroup of ${controller}`);
}

/** Whether all processes of the cgroup stand still. */
export function isFrozen(pid: number): boolean {
  const state = cgroupLimit(pid, "freezer", "freezer.state", "cgroup.events");
  return isUnified ? state.includes("frozen 1") : state === "FROZEN";
}
