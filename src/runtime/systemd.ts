/** Where the systemd driver is loaded: by the flag, or for a container that was made with it. */
import { EngineError, isEngineError } from "../core/errors.ts";
import type { Cgroup } from "./cgroup/cgroup.ts";
import type { CgroupDriver, SystemdUnit } from "./cgroup/driver.ts";
import type { ContainerRecord } from "./record.ts";
import { readRecord } from "./store.ts";

/** Not at start: callers of other verbs would wait for it. */
export async function loadSystemd(): Promise<CgroupDriver> {
  return (await import("./cgroup/systemd/driver.ts")).systemdDriver;
}

/**
 * The driver that a container's cgroup was made with; undefined for the cgroup file system, and without a container.
 * @param manager only if it is that systemd.
 */
export async function recordedDriver(
  root: string,
  id: string,
  manager?: SystemdUnit["manager"],
): Promise<CgroupDriver | undefined> {
  let record: ContainerRecord;
  try {
    record = readRecord(root, id);
  } catch (error) {
    // Whoever works on the container says so in its own words.
    if (isEngineError(error)) return undefined;
    throw error;
  }
  const { systemd } = record;
  if (systemd === undefined || (manager !== undefined && manager !== systemd.manager)) return undefined;
  return loadSystemd();
}

/**
 * The cgroup of a container that is a unit of systemd's, for who changes or removes it; undefined for other containers.
 * To look into it, or to signal and freeze its processes, containerCgroup is enough.
 */
export function unitCgroup(record: ContainerRecord, driver: CgroupDriver | undefined): Cgroup | undefined {
  const { cgroupPath, systemd } = record;
  if (cgroupPath === undefined || systemd === undefined) return undefined;
  if (driver !== undefined) return driver.reopen(cgroupPath, systemd);
  const message = `container ${record.id}: its cgroup is that of the systemd unit ${systemd.unit}`;
  throw new EngineError("unsupported", message, { hint: "tsd runtime, the command, changes and deletes it" });
}
