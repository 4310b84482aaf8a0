/** Whom a container's cgroup belongs to: config-linux.md, "Cgroup ownership". */
import { AT_FDCWD } from "../../../ffi/constants/open.ts";
import { fchownat } from "../../../ffi/files.ts";
import { isErrno, wrapError } from "../../core/errors.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import type { Cgroup } from "./cgroup.ts";
import { readOptional } from "./files.ts";

/** cgroups(7), "Cgroups delegation": what to give away where the kernel does not say (before Linux 4.15). */
const listPath = "/sys/kernel/cgroup/delegate";
const groupAsItIs = -1;
const listDefault = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/**
 * Gives a cgroup of v2 to the user of the container's process, if the container has a cgroup namespace of its own and
 * sees it writable: then it may make cgroups below. The limits stay out of its hands.
 */
export function giveToOwner(cgroup: Pick<Cgroup, "version" | "directories">, config: RuntimeConfig): void {
  const directory = cgroup.directories[""];
  const owner = ownerOf(config);
  // What this process makes is its own already.
  if (cgroup.version !== 2 || directory === undefined || owner === undefined || owner === process.geteuid?.()) return;
  const files = (readOptional(listPath) ?? listDefault).split("\n").filter((name) => /^[a-z][\w.]*$/.test(name));
  for (const path of [directory, ...files.map((name) => `${directory}/${name}`)]) {
    try {
      fchownat(AT_FDCWD, path, owner, groupAsItIs);
    } catch (error) {
      // Not every cgroup has every file of the list.
      if (isErrno(error, "ENOENT")) continue;
      throw wrapError(error, `linux.cgroupsPath: give ${path} to user ${owner}`);
    }
  }
}

/** The host's number of process.user.uid; undefined where the cgroup keeps its owner. */
export function ownerOf({ linux, mounts, process: program }: RuntimeConfig): number | undefined {
  const ownNamespace = linux?.namespaces?.some(({ type, path }) => type === "cgroup" && !path);
  const writable = mounts?.some(({ source, destination, options }) => {
    return source === "cgroup" && destination === "/sys/fs/cgroup" && !options?.includes("ro");
  });
  if (!ownNamespace || !writable) return undefined;
  const uid = program?.user?.uid ?? 0;
  const maps = linux?.uidMappings ?? [];
  const hasUserNamespace = linux?.namespaces?.some(({ type }) => type === "user");
  if (!hasUserNamespace) return uid;
  const map = maps.find(({ containerID, size }) => uid >= containerID && uid < containerID + size);
  return map && map.hostID + uid - map.containerID;
}
