import { EngineError, errorMessage } from "../core/errors.ts";
import type { LinuxResources, RuntimeConfig } from "../oci/runtime.ts";
import { type Cgroup, openCgroup } from "./cgroup/cgroup.ts";
import type { CgroupDriver } from "./cgroup/driver.ts";
import { allOrNothing } from "./cgroup/undo.ts";
import { changesOf, mergeResources, withCompanions } from "./merge-resources.ts";
import { containerStatus } from "./status.ts";
import { lockContainer, readConfig, readRecord, replaceConfig } from "./store.ts";
import { unitCgroup } from "./systemd.ts";

/**
 * Changes limits of a container that was created, runs or is paused, and the configuration that is kept of it. What
 * `resources` does not speak of stays.
 * @param cgroupDriver needed for a container that was made with it (recordedDriver).
 * @throws EngineError not_found; conflict when the container has stopped; invalid_argument or unsupported with the
 *   field that was refused. Then nothing has changed: what was written before it is put back.
 */
export function updateContainer(
  root: string,
  id: string,
  resources: LinuxResources,
  cgroupDriver?: CgroupDriver,
): void {
  using _lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const { status } = containerStatus(root, record);
  if (status === "stopped" || status === "creating") {
    // Callers of runc look for "container not running".
    throw new EngineError("conflict", `cannot update ${id}, which is ${status}: container not running`);
  }
  if (record.cgroupPath === undefined) {
    throw new EngineError("unsupported", `container ${id} has no cgroup of its own, and no limits to update`);
  }
  const cgroup = unitCgroup(record, cgroupDriver) ?? openCgroup(record.cgroupPath, record.cgroupHost);
  const config = readConfig(root, id);
  const before = config.linux?.resources ?? {};
  const changes = changesOf(resources);
  const merged = mergeResources(before, changes, cgroup.version);
  try {
    allOrNothing(() => {
      cgroup.apply(withCompanions(changes, merged), changes.devices && (config.linux?.devices ?? []));
      replaceConfig(root, id, { ...config, linux: { ...config.linux, resources: merged } });
    });
  } catch (error) {
    if (changes.devices !== undefined) restoreDevices(cgroup, config, error);
    throw error;
  }
}

/** Rules are no values that could be read back: those of the configuration are set again. */
function restoreDevices(cgroup: Cgroup, { linux }: RuntimeConfig, error: unknown): void {
  try {
    cgroup.apply({ devices: linux?.resources?.devices ?? [] }, linux?.devices ?? []);
  } catch (problem) {
    if (error instanceof Error) error.message += ` (and then: ${errorMessage(problem)})`;
  }
}
