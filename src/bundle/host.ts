/** Facts of this machine that a bundle depends on. */
import { type Dirent, existsSync, lstatSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { availableParallelism, release } from "node:os";
import { join, normalize } from "node:path";
import { capabilitiesOf, capabilityMasks } from "../../ffi/capability.ts";
import { AT_FDCWD } from "../../ffi/constants/open.ts";
import { S_IFBLK, S_IFMT } from "../../ffi/constants/stat.ts";
import { isDevice, statx } from "../../ffi/stat.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { readCgroupFacts } from "./host-limits.ts";
import type { BundleHost, HostDevice } from "./input.ts";

/** Directories of /dev that hold no devices of the host's own, as containerd skips them. */
const skippedDirectories = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);

/** Below a folder of devices, /dev itself among them. */
const filesMax = 20_000;

/** Reads once what does not change while the engine runs; devices are looked up when they are asked for. */
export function readHost(): BundleHost {
  const masks = capabilityMasks(readFileSync("/proc/self/status", "utf8"));
  const mounts = readFileSync("/proc/self/mounts", "utf8");
  return {
    kernel: parseKernelVersion(release()),
    capabilities: capabilitiesOf((masks.CapBnd ?? 0n) & (masks.CapPrm ?? 0n)),
    ...readCgroupFacts(mounts),
    apparmor: readOptional("/sys/module/apparmor/parameters/enabled")?.startsWith("Y") ?? false,
    thermalThrottleCpus: thermalThrottleCpus(),
    onlineCpus: availableParallelism(),
    devicesAt,
    exists: (path) => existsSync(path),
    devices: () => devicesBelow("/dev"),
    sysctlExists: (name) => existsSync(`/proc/sys/${name.replaceAll(".", "/")}`),
  };
}

/** `6.1.0-18-amd64` is [6, 1]. */
export function parseKernelVersion(text: string): [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(text);
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
}

function thermalThrottleCpus(): number[] {
  const directory = "/sys/devices/system/cpu";
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => /^cpu\d+$/.test(name) && existsSync(join(directory, name, "thermal_throttle")))
    .map((name) => Number(name.slice(3)))
    .sort((a, b) => a - b);
}

function devicesAt(path: string, { alone = false } = {}): HostDevice[] {
  const resolved = resolveDevicePath(normalize(path));
  const device = deviceAt(resolved);
  if (device !== undefined) return [{ ...device, path }];
  return !alone && isDirectory(resolved) ? devicesBelow(resolved, path) : [];
}

/** A symlink is followed when it leads to a place below /dev: others could lead the engine to any file of the host. */
function resolveDevicePath(path: string): string {
  try {
    if (!lstatSync(path).isSymbolicLink()) return path;
    const target = realpathSync(path);
    return target === "/dev" || target.startsWith("/dev/") ? target : path;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return path;
    throw error;
  }
}

function deviceAt(path: string): HostDevice | undefined {
  try {
    const status = statx(AT_FDCWD, path);
    if (!isDevice(status)) return undefined;
    return {
      type: (status.mode & S_IFMT) === S_IFBLK ? "b" : "c",
      path,
      major: status.specialMajor,
      minor: status.specialMinor,
      fileMode: status.mode & 0o7777,
      uid: status.uid,
      gid: status.gid,
    };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * Devices below a directory, by the paths that they have under `shown`; symlinks are left out.
 * @throws EngineError invalid_argument for a directory of the host that is no folder of devices: it is looked through
 * at once.
 */
function devicesBelow(directory: string, shown = directory, visited = { count: 0 }): HostDevice[] {
  const found: HostDevice[] = [];
  for (const entry of entriesOf(directory).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (++visited.count > filesMax) {
      throw new EngineError(
        "invalid_argument",
        `${shown}: more than ${filesMax} files, which no folder of devices has`,
      );
    }
    const path = join(directory, entry.name);
    const shownPath = join(shown, entry.name);
    if (entry.isDirectory()) {
      if (!skippedDirectories.has(entry.name)) found.push(...devicesBelow(path, shownPath, visited));
    } else if (entry.name !== "console" && !entry.isSymbolicLink()) {
      const device = deviceAt(path);
      if (device !== undefined) found.push({ ...device, path: shownPath });
    }
  }
  return found;
}

/**
 * What has gone meanwhile, or is nobody's to look into, has no devices: as a node of that kind is none. EINVAL and
 * ESRCH are what procfs says of a process that has ended.
 */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "EINVAL", "ESRCH")) return [];
    throw error;
  }
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES", "ENOTDIR")) return undefined;
    throw error;
  }
}
