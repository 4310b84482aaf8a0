/** A container's user namespace as its record has it: which of the host's users and groups its own are. */
import type { LinuxIdMapping } from "../../oci/runtime.ts";
import type { IdRange } from "./host-files.ts";

export interface UserNamespace {
  uids: LinuxIdMapping[];
  gids: LinuxIdMapping[];
  /**
   * The numbers are this container's and those' that share its namespaces, and free again when all of them are removed.
   */
  isOwn?: boolean;
  /**
   * Volumes keep the container's owners on the disk, so that containers with other numbers find their own; else, with
   * numbers that all containers have, they have the host's, as in Docker.
   */
  mapsVolumes?: boolean;
}

/** A user or group of the container as the host has it; undefined for one that the host does not know. */
export function toHost(mappings: readonly LinuxIdMapping[], id: number): number | undefined {
  const found = mappings.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return found && found.hostID + id - found.containerID;
}

/** The host's users and groups that it has: they are the same numbers where they are its own. */
export function rangesOf({ uids }: UserNamespace): IdRange[] {
  return uids.map(({ hostID, size }) => ({ start: hostID, size }));
}

export function isSameMapping(a: UserNamespace, b: UserNamespace): boolean {
  return JSON.stringify([a.uids, a.gids]) === JSON.stringify([b.uids, b.gids]);
}
