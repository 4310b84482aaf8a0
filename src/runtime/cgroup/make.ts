/** Making a cgroup's directories, so that the controllers work in them. */
import { mkdirSync } from "../../../ffi/fs.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { fillCpuset } from "./cpu.ts";
import { readOptional, writeCgroupFile } from "./files.ts";
import type { Hierarchy } from "./hierarchy.ts";

/** Makes `directory` and its parents up to the hierarchy's mount point. */
export function makeCgroup(directory: string, hierarchy: Hierarchy): void {
  if (hierarchy.version === 2) {
    makeUnified(directory, hierarchy);
    return;
  }
  make(directory, true);
  if (hierarchy.controllers.includes("cpuset")) fillCpuset(directory, hierarchy.mountPoint);
}

/**
 * In v2 a controller reaches a cgroup when every parent hands it on (cgroup-v2.rst, "Enabling and Disabling"). All
 * that there are are handed on, as runc does: which ones an update will need is not known yet.
 */
function makeUnified(directory: string, { mountPoint }: Hierarchy): void {
  const names = directory.slice(mountPoint.length).split("/").filter(Boolean);
  let parent = mountPoint;
  for (const name of names) {
    enableControllers(parent);
    parent += `/${name}`;
    make(parent, false);
    refuseInvalidType(parent);
  }
}

function enableControllers(directory: string): void {
  const words = (file: string): string[] =>
    (readOptional(`${directory}/${file}`) ?? "").split(/\s+/).filter((word) => word !== "");
  const enabled = words("cgroup.subtree_control");
  const missing = words("cgroup.controllers").filter((controller) => !enabled.includes(controller));
  if (missing.length === 0) return;
  const path = `${directory}/cgroup.subtree_control`;
  if (enable(path, missing)) return;
  // One that cannot be had (delegated without it, real-time processes in the way of cpu) must not take the rest along.
  // Whoever needs it is told by the limit that cannot be set.
  for (const controller of missing) enable(path, [controller]);
}

function enable(path: string, controllers: string[]): boolean {
  try {
    writeCgroupFile(path, controllers.map((name) => `+${name}`).join(" "));
    return true;
  } catch (error) {
    if (isErrno(error, "EBUSY", "EINVAL", "ENOENT", "EACCES", "EPERM", "EOPNOTSUPP", "EROFS")) return false;
    throw error;
  }
}

function refuseInvalidType(directory: string): void {
  const type = readOptional(`${directory}/cgroup.type`)?.trim();
  if (type === undefined || type === "domain" || type === "domain threaded") return;
  throw new EngineError("conflict", `linux.cgroupsPath: ${directory} is of the type "${type}": it takes no processes`, {
    path: directory,
    hint: "a threaded cgroup is above it; choose another path",
  });
}

function make(directory: string, recursive: boolean): void {
  try {
    mkdirSync(directory, { recursive, mode: 0o755 });
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    const errno = String((error as { code?: unknown }).code);
    const code = isErrno(error, "EPERM", "EACCES", "EROFS") ? "forbidden" : "internal";
    const message = `linux.cgroupsPath: mkdir ${directory}: ${errno}`;
    throw new EngineError(code, message, { path: directory, cause: error });
  }
}
