/** Who makes containers' cgroups where it is not this runtime alone. */
import type { RuntimeConfig } from "../../oci/runtime.ts";
import type { Cgroup } from "./cgroup.ts";

/** The unit of systemd's that a container's cgroup belongs to, as its record keeps it. */
export interface SystemdUnit {
  /** `prefix-id.scope`, or a slice. */
  unit: string;
  /** Of which systemd: the system's, or that of the user who made the container. */
  manager: "system" | "user";
}

/** A cgroup that belongs to a unit of systemd's. */
export interface UnitCgroup extends Cgroup {
  readonly unit: SystemdUnit;
  /**
   * Puts a process into the cgroup, where this one cannot do so itself: a scope comes to be with its first process, and
   * a user may not move processes between cgroups of which one belongs to somebody else. The process waits meanwhile.
   * Absent: it moves itself, as into any cgroup.
   * @param below a cgroup below this one, beginning with "/".
   */
  readonly admit?: (pid: number, below?: string) => void;
}

/** systemd. It is loaded where the flag or a container's record asks for it: src/runtime/systemd.ts. */
export interface CgroupDriver {
  /**
   * The cgroup that a new container is to have. Nothing is made yet.
   * @throws EngineError invalid_argument with the field of config.json; already_exists for a unit that is there;
   *   unavailable where systemd cannot be reached.
   */
  design(config: RuntimeConfig, id: string): UnitCgroup;
  /** The cgroup of a container that was made by it. */
  reopen(path: string, unit: SystemdUnit): UnitCgroup;
}
