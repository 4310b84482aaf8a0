import { basename, join } from "../../ffi/path.ts";
import { cgroupHost } from "./cgroup/hierarchy.ts";
import type { CgroupMembers } from "./cgroup/members.ts";
import type { CgroupHierarchy } from "./plan/context.ts";

/** A container's cgroup as mounts of type "cgroup" show it: v1's controllers that share a hierarchy share an entry. */
export function cgroupHierarchies(cgroup: CgroupMembers): CgroupHierarchy[] {
  if (cgroup.version === 2) {
    return Object.values(cgroup.directories).map((directory) => ({ name: "", options: [], directory }));
  }
  const controllersAt = new Map<string, string[]>();
  for (const [controller, directory] of Object.entries(cgroup.directories)) {
    const controllers = controllersAt.get(directory);
    if (controllers === undefined) controllersAt.set(directory, [controller]);
    else controllers.push(controller);
  }
  return [...controllersAt].map(([directory, options]) => ({
    name: basename(directory.slice(0, directory.length - cgroup.path.length)),
    options,
    directory,
  }));
}

/** The cgroup of this process, for a container that stays in it because it may not have one of its own. */
export function ownHierarchies(): CgroupHierarchy[] {
  const { version, hierarchies } = cgroupHost();
  return hierarchies
    .filter((hierarchy) => hierarchy.version === version)
    .map(({ mountPoint, controllers, own }) => ({
      name: version === 2 ? "" : basename(mountPoint),
      options: version === 2 ? [] : controllers,
      directory: join(mountPoint, own),
    }));
}
