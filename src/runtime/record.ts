import type { ProcessIdentity } from "../../ffi/process.ts";
import { EngineError } from "../core/errors.ts";
import type { OciHooks } from "../oci/runtime.ts";
import type { SystemdUnit } from "./cgroup/driver.ts";
import type { CgroupHost } from "./cgroup/hierarchy.ts";

/** Raised when state.json changes in a way that an older tsd would misread. */
const recordVersion = 1;

/**
 * How far a container has come. It is "creating" from before the first thing that the kernel is asked for until the
 * first process waits for `start` (or runs); a container that stays "creating" after its creator has gone was left
 * by a runtime that was killed.
 */
export type Lifecycle =
  | { phase: "creating"; creator: ProcessIdentity; init?: ProcessIdentity }
  | { phase: "created"; init: ProcessIdentity };

/** A container's state.json. The configuration it was created with lies beside it. */
export interface ContainerRecord {
  id: string;
  /** Absolute. */
  bundle: string;
  /** Absolute: the root file system in the bundle. */
  rootfs: string;
  /** The version of the specification that the state JSON follows. */
  ociVersion: string;
  /** RFC 3339. */
  createdAt: string;
  ownerUid: number;
  annotations?: Record<string, string>;
  /** Those that run later than the creation; absent when there are none. */
  hooks?: Pick<OciHooks, "poststart" | "poststop">;
  /** What openCgroup takes; absent when the container has no cgroup of its own. */
  cgroupPath?: string;
  /** The host's hierarchies as its creator found them. */
  cgroupHost?: CgroupHost;
  /** The cgroup is that of a unit of systemd's, which has to be asked when it is changed or removed. */
  systemd?: SystemdUnit;
  lifecycle: Lifecycle;
}

export function formatRecord(record: ContainerRecord): string {
  return JSON.stringify({ version: recordVersion, ...record });
}

/**
 * Reads a state.json, which this program wrote, without a schema: `state` and `kill` are called often.
 * @throws EngineError corrupt, or unsupported for a newer tsd's.
 */
export function parseRecord(json: string, path: string): ContainerRecord {
  let value: Partial<ContainerRecord> & { version?: unknown };
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw damaged(path, "not JSON", error);
  }
  if (typeof value !== "object" || value === null) throw damaged(path, "not an object");
  if (typeof value.version === "number" && value.version > recordVersion) {
    throw new EngineError("unsupported", `${path}: written by a newer tsd (version ${value.version})`, { path });
  }
  if (value.version !== recordVersion) throw damaged(path, "no tsd wrote it");
  const phase = value.lifecycle?.phase;
  if (typeof value.id !== "string" || (phase !== "creating" && phase !== "created")) throw damaged(path, "incomplete");
  return value as ContainerRecord;
}

function damaged(path: string, reason: string, cause?: unknown): EngineError {
  const hint = "delete --force removes what is left of the container";
  return new EngineError("corrupt", `${path}: ${reason}`, { path, hint, cause });
}
