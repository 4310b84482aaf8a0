/**
 * Mounts of a container that lead out of it: criu saves a name in their place, and is told what the name stands for when
 * it restores. Binds have the name of their destination in config.json, masked files that of /dev/null.
 */

import { parseMountOptions } from "../../../ffi/mount-options.ts";
import { isAbsolute, join } from "../../../ffi/path.ts";
import type { OciMount, RuntimeConfig } from "../../oci/runtime.ts";
import type { CgroupHierarchy } from "../plan/context.ts";
import { defaultDevices } from "../plan/devices.ts";
import { cleanPath } from "../plan/emit.ts";
import type { MountEntry } from "./mount-info.ts";

const maskName = "/dev/null";

/**
 * What criu is told of when it saves: `mnt[MOUNT POINT]:NAME`.
 * @param mounts of the container, from its own root.
 * @param mountAt the id of the mount at a path of config.json, which may lead over symlinks of the image.
 */
export function savedMounts(
  config: RuntimeConfig,
  mounts: readonly MountEntry[],
  mountAt: (path: string) => number | undefined,
): string[] {
  const names = new Map<string, string>();
  const destinations = (config.mounts ?? []).map(({ destination }) => cleanPath(destination));
  for (const mount of bindsOf(config)) {
    const id = mountAt(mount.path);
    const top = mounts.find((entry) => entry.id === id);
    if (top === undefined) continue;
    names.set(top.mountPoint, mount.path);
    for (const { mountPoint } of mounts) {
      if (!isBelow(mountPoint, top.mountPoint)) continue;
      const name = mount.path + mountPoint.slice(top.mountPoint.length);
      // What another mount of config.json has put there is not the host's.
      const isOther = (path: string) => name === path || (isBelow(path, mount.path) && isBelow(name, path));
      if (!destinations.some(isOther)) names.set(mountPoint, name);
    }
  }
  const masked = new Set((config.linux?.maskedPaths ?? []).map(cleanPath));
  const devices = new Set(devicePaths(config));
  const cgroups = hasCgroupNamespace(config) ? [] : cgroupDestinations(config);
  for (const { mountPoint, root, type } of mounts) {
    // The root of a file system covers a directory: an empty one, which is saved like any other.
    if (masked.has(mountPoint) && root !== "/") names.set(mountPoint, maskName);
    else if (devices.has(mountPoint)) names.set(mountPoint, mountPoint);
    else if (type.startsWith("cgroup") && cgroups.some((path) => path === mountPoint || isBelow(mountPoint, path))) {
      names.set(mountPoint, mountPoint);
    }
  }
  return [...names].map(([mountPoint, name]) => `mnt[${mountPoint}]:${name}`);
}

/**
 * What the names stand for on this host: `mnt[NAME]:PATH`. Those that were not saved do no harm.
 * @param mounts of this host.
 * @param cgroups the container's own directories, which it sees without a cgroup namespace.
 */
export function restoredMounts(
  config: RuntimeConfig,
  bundle: string,
  mounts: readonly MountEntry[],
  cgroups: readonly CgroupHierarchy[],
): string[] {
  const paths = new Map<string, string>();
  for (const { path, config: mount, recursive } of bindsOf(config)) {
    const source = sourceOf(mount, bundle);
    paths.set(path, source);
    if (!recursive) continue;
    for (const { mountPoint } of mounts) {
      if (isBelow(mountPoint, source)) paths.set(path + mountPoint.slice(source.length), mountPoint);
    }
  }
  if (config.linux?.maskedPaths?.length) paths.set(maskName, maskName);
  for (const path of devicePaths(config)) paths.set(path, path);
  if (!hasCgroupNamespace(config)) {
    for (const path of cgroupDestinations(config)) {
      for (const { name, directory } of cgroups) paths.set(name === "" ? path : `${path}/${name}`, directory);
    }
  }
  return [...paths].map(([name, path]) => `mnt[${name}]:${path}`);
}

export interface BindMount {
  config: OciMount;
  /** The destination, absolute and without `..`. */
  path: string;
  recursive: boolean;
}

export function bindsOf({ mounts = [] }: RuntimeConfig): BindMount[] {
  return mounts.flatMap((config) => {
    const { bind, remount, recursive } = parseMountOptions(config.type, config.options ?? []);
    return bind && !remount ? [{ config, path: cleanPath(config.destination), recursive }] : [];
  });
}

/** The source of a bind mount on the host; a relative one is in the bundle. */
export function sourceOf({ source = "" }: OciMount, bundle: string): string {
  return isAbsolute(source) ? cleanPath(source) : cleanPath(join(bundle, source));
}

function devicePaths({ linux }: RuntimeConfig): string[] {
  return [...defaultDevices, ...(linux?.devices ?? [])].map(({ path }) => cleanPath(path));
}

function hasCgroupNamespace({ linux }: RuntimeConfig): boolean {
  return linux?.namespaces?.some(({ type }) => type === "cgroup") ?? false;
}

function cgroupDestinations({ mounts = [] }: RuntimeConfig): string[] {
  const views = mounts.filter(({ type }) => type === "cgroup" || type === "cgroup2");
  return views.map(({ destination }) => cleanPath(destination));
}

function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory === "/" ? "" : directory}/`) && path !== directory;
}
