/**
 * Where cgroups are on this host: one hierarchy of v2 on /sys/fs/cgroup, or v1's, a mount for each controller or for a
 * few together, and beside them perhaps a v2 one ("hybrid"). cgroups(7).
 */

import { readFileSync } from "../../../ffi/fs.ts";
import { dirname, join, normalize } from "../../../ffi/path.ts";
import { statfs } from "../../../ffi/stat.ts";
import { unescapeMountPath } from "../../../ffi/text.ts";
import { EngineError, isErrno } from "../../core/errors.ts";

export interface Hierarchy {
  version: 1 | 2;
  /** Absolute. */
  mountPoint: string;
  /** v1: those of the mount's options, with `name=systemd` for a hierarchy without any. v2: see its cgroup.controllers. */
  controllers: string[];
  /** This process's own cgroup, relative to the mount point and beginning with "/". */
  own: string;
}

export interface CgroupHost {
  /** 2 only where v2 is all there is. */
  version: 1 | 2;
  hierarchies: Hierarchy[];
}

/** CGROUP2_SUPER_MAGIC of linux/magic.h. */
const cgroup2Magic = 0x63677270;
const unifiedMountPoint = "/sys/fs/cgroup";

/** Named hierarchies belong to programs that manage processes with them; systemd's is the one that runtimes join. */
const named = "name=systemd";

let detected: CgroupHost | undefined;

/**
 * The host's hierarchies. They are read once: nobody remounts them under running containers.
 * @throws EngineError unsupported where there are none.
 */
export function cgroupHost(): CgroupHost {
  detected ??= detect();
  return detected;
}

function detect(): CgroupHost {
  const membership = readFileSync("/proc/self/cgroup", "utf8");
  if (isUnified()) {
    // The usual case, told without reading what may be thousands of mounts.
    const own = /^0::(.*)$/m.exec(membership)?.[1] ?? "/";
    return { version: 2, hierarchies: [{ version: 2, mountPoint: unifiedMountPoint, controllers: [], own }] };
  }
  const hierarchies = parseHierarchies(readFileSync("/proc/self/mountinfo", "utf8"), membership);
  if (hierarchies.length === 0) {
    throw new EngineError("unsupported", `no cgroup file system is mounted below ${unifiedMountPoint}`, {
      path: unifiedMountPoint,
      hint: "mount -t cgroup2 none /sys/fs/cgroup",
    });
  }
  return { version: hierarchies.some((hierarchy) => hierarchy.version === 1) ? 1 : 2, hierarchies };
}

function isUnified(): boolean {
  try {
    return statfs(unifiedMountPoint).type === cgroup2Magic;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** Reads /proc/self/mountinfo (proc_pid_mountinfo(5)) and /proc/self/cgroup (cgroups(7)). */
export function parseHierarchies(mountinfo: string, membership: string): Hierarchy[] {
  const memberships = membership.split("\n").map((line) => line.split(":"));
  const hierarchies: Hierarchy[] = [];
  const known = new Set<string>();
  // There may be thousands of other mounts.
  const separator = " - cgroup";
  for (let at = mountinfo.indexOf(separator); at >= 0; at = mountinfo.indexOf(separator, at + 1)) {
    const end = mountinfo.indexOf("\n", at);
    const mount = mountinfo.slice(mountinfo.lastIndexOf("\n", at) + 1, at);
    const [type, , options = ""] = mountinfo.slice(at + " - ".length, end < 0 ? undefined : end).split(" ");
    const controllers = type === "cgroup2" ? [] : options.split(",").filter(isController);
    if (type !== "cgroup2" && (type !== "cgroup" || controllers.length === 0)) continue;
    // A hierarchy that is mounted a second time is the same one.
    const key = controllers.join();
    if (known.has(key)) continue;
    known.add(key);
    const [, , , root = "/", mountPoint = ""] = mount.split(" ");
    const own = ownCgroup(memberships, type === "cgroup2" ? undefined : controllers);
    hierarchies.push({
      version: type === "cgroup2" ? 2 : 1,
      mountPoint: unescapeMountPath(mountPoint),
      controllers,
      own: belowRoot(own, unescapeMountPath(root)),
    });
  }
  return hierarchies;
}

/** Controllers stand among mount options, in Linux's own spelling: everything else there is known. */
function isController(option: string): boolean {
  if (option === named) return true;
  return !/^(rw|ro|noprefix|clone_children|cpuset_v2_mode|xattr|favordynmods|release_agent=.*|name=.*|seclabel)$/.test(
    option,
  );
}

/** @param memberships the lines of /proc/self/cgroup: hierarchy's id, controllers, path, cut at the colons. */
function ownCgroup(memberships: readonly string[][], controllers: readonly string[] | undefined): string {
  for (const [id, names = "", ...path] of memberships) {
    const listed = names.split(",");
    const matches = controllers === undefined ? id === "0" : controllers.every((name) => listed.includes(name));
    if (matches) return path.join(":");
  }
  return "/";
}

/**
 * In a container with the host's cgroup namespace, membership is told from the host's root while the mount shows the
 * container's cgroup alone.
 */
function belowRoot(own: string, root: string): string {
  if (root === "/") return own;
  if (own === root) return "/";
  return own.startsWith(`${root}/`) ? own.slice(root.length) : "/";
}

/**
 * Where a cgroupsPath of config.json leads, from the mount points. An absolute path is just that. A relative one is
 * below this process's own cgroup in v1, and beside it in v2, where a cgroup with processes cannot have children with
 * controllers; both as runc does. `..` does not lead out.
 *
 * On v1 the own cgroup may differ from hierarchy to hierarchy: then it is what the paths have in common.
 */
export function resolveCgroupsPath(cgroupsPath: string, host: CgroupHost): string {
  if (cgroupsPath === "" || cgroupsPath.includes("\0")) {
    throw new EngineError("invalid_argument", `linux.cgroupsPath: ${JSON.stringify(cgroupsPath)} is no path`);
  }
  const normal = normalize(`/${cgroupsPath}`);
  const clean = normal.endsWith("/") ? normal.slice(0, -1) : normal;
  if (clean === "") {
    throw new EngineError("invalid_argument", `linux.cgroupsPath: ${cgroupsPath} is the root, which has no limits`);
  }
  if (cgroupsPath.startsWith("/")) return clean;
  const own = host.hierarchies.filter(({ version }) => version === host.version).map((hierarchy) => hierarchy.own);
  const base = host.version === 2 ? dirname(own[0] ?? "/") : commonPath(own);
  return join(base, clean);
}

function commonPath(paths: string[]): string {
  const [first = [], ...others] = paths.map((path) => path.split("/"));
  const length = first.findIndex((name, index) => others.some((other) => other[index] !== name));
  return `/${first.slice(1, length < 0 ? undefined : length).join("/")}`;
}
