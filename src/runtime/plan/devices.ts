/** /dev: device nodes, the usual links, and the console. */
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  atFlags,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
} from "../../../ffi/constants/open.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, STATX_BASIC_STATS } from "../../../ffi/constants/stat.ts";
import { makeDevice } from "../../../ffi/files.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { at, constant, flags, memory, octal, type Ref, str } from "../../../ffi/plan/values.ts";
import type { LinuxDevice, RuntimeConfig } from "../../oci/runtime.ts";
import { attach, cloneTree } from "./attributes.ts";
import { cleanPath, here, invalid, makeFile, openInRoot, openMountPoint } from "./emit.ts";

/** The devices that every container has (config-linux.md, "Default Devices"). */
export const defaultDevices: readonly LinuxDevice[] = [
  { path: "/dev/null", type: "c", major: 1, minor: 3 },
  { path: "/dev/random", type: "c", major: 1, minor: 8 },
  { path: "/dev/full", type: "c", major: 1, minor: 7 },
  { path: "/dev/tty", type: "c", major: 5, minor: 0 },
  { path: "/dev/zero", type: "c", major: 1, minor: 5 },
  { path: "/dev/urandom", type: "c", major: 1, minor: 9 },
];

const links: readonly (readonly [name: string, target: string])[] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
];

const typeBits = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO } as const;
const defaultMode = 0o666;

/** Default devices and those of linux.devices, which win where both have a path. */
function devicesOf(config: RuntimeConfig): { device: LinuxDevice; field: string }[] {
  const devices = new Map<string, { device: LinuxDevice; field: string }>();
  for (const device of defaultDevices) devices.set(device.path, { device, field: "default devices" });
  (config.linux?.devices ?? []).forEach((device, index) => {
    const field = `linux.devices[${index}]`;
    const path = cleanPath(device.path);
    if (path === "/") throw invalid(`${field}.path`, "not a path of a device");
    if (device.type !== "p") checkNumbers(device, field);
    devices.set(path, { device: { ...device, path }, field });
  });
  return [...devices.values()];
}

/** The kernel has 12 bits for the major number and 20 for the minor one, and would take what is left of larger ones. */
function checkNumbers(device: LinuxDevice, field: string): void {
  for (const [part, max] of [
    ["major", 0xfff],
    ["minor", 0xfffff],
  ] as const) {
    const number = device[part];
    if (number === undefined) throw invalid(`${field}.${part}`, "missing");
    if (number < 0 || number > max) throw invalid(`${field}.${part}`, `${number} is not between 0 and ${max}`);
  }
}

/** Whether /dev is a new tmpfs: then nothing can be in the way there. */
function hasFreshDev(config: RuntimeConfig): boolean {
  const last = (config.mounts ?? []).findLast((mount) => cleanPath(mount.destination) === "/dev");
  return last?.type === "tmpfs";
}

/** @param bind take the host's nodes, because a user namespace may not make any. */
export function addDevices(plan: PlanBuilder, config: RuntimeConfig, root: Ref, bind: boolean): void {
  const directories = new Map<string, { directory: Ref; field: string }>();
  const fresh = hasFreshDev(config);
  for (const { device, field } of devicesOf(config)) {
    plan.because(field, () => {
      if (bind) return bindDevice(plan, device, root);
      const slash = device.path.lastIndexOf("/");
      const parent = device.path.slice(0, slash) || "/";
      let open = directories.get(parent);
      if (open === undefined) {
        open = { directory: openMountPoint(plan, root, parent), field };
        directories.set(parent, open);
      }
      addNode(plan, device, open.directory, device.path.slice(slash + 1), fresh && parent === "/dev");
    });
  }
  for (const { directory, field } of directories.values()) plan.because(field, () => plan.close(directory));
}

function bindDevice(plan: PlanBuilder, { path }: LinuxDevice, root: Ref): void {
  const tree = cloneTree(plan, here, path, false, { what: path });
  const target = openMountPoint(plan, root, path, { tree });
  attach(plan, tree, target, { what: path });
  plan.close(target);
  plan.close(tree);
}

function addNode(plan: PlanBuilder, device: LinuxDevice, directory: Ref, name: string, fresh: boolean): void {
  const { type, path, major = 0, minor = 0, fileMode = defaultMode, uid = 0, gid = 0 } = device;
  const mode = typeBits[type] | (fileMode & 0o7777);
  const number = constant(makeDevice(major, minor), { [`${major}:${minor}`]: makeDevice(major, minor) });
  const args = [directory, str(name), octal(mode), number];
  const exists = plan.label(`${path} exists`);
  plan.call("mknodat", args, fresh ? { what: path } : { what: path, onError: exists });
  if (uid !== 0 || gid !== 0) {
    plan.call("fchownat", [directory, str(name), uid, gid, flags(AT_SYMLINK_NOFOLLOW, atFlags)], { what: path });
  }
  if (fresh) return;
  const made = plan.label(`${path} is made`);
  plan.place(made);
  plan.defer(() => {
    plan.place(exists);
    // The same call again for errors that are not about a node that exists: they end the plan.
    plan.call("mknodat", args, { what: path, ignore: ["EEXIST"] });
    const node = openInRoot(plan, directory, name, O_PATH | O_NOFOLLOW, { noSymlinks: true, what: path });
    requireNode(plan, node, { type: typeBits[type], major, minor }, path);
    plan.close(node);
    plan.jump(made);
  });
}

/** Offsets in struct statx. */
const modeOffset = 28;
const deviceOffset = 128;

/** Ends the plan unless the descriptor is that very device: a file that the image has in its place is none. */
export function requireNode(
  plan: PlanBuilder,
  node: Ref,
  wanted: { type: number; major: number; minor: number },
  path: string,
): void {
  const status = memory(256, `status of ${path}`);
  const EEXIST = 17;
  const what = `${path} is there already and is not the device ${wanted.major}:${wanted.minor}`;
  plan.call(
    "statx",
    [node, str(""), flags(AT_EMPTY_PATH, atFlags), constant(STATX_BASIC_STATS, { STATX_BASIC_STATS }), status],
    { what: path },
  );
  const type = { mask: BigInt(S_IFMT), expected: BigInt(wanted.type), equal: 0, different: -EEXIST };
  plan.select(at(status, modeOffset), type, { what });
  if (wanted.type === S_IFIFO) return;
  const number = (BigInt(wanted.minor) << 32n) | BigInt(wanted.major);
  plan.select(at(status, deviceOffset), { expected: number, equal: 0, different: -EEXIST }, { what });
}

/** Links that programs expect: they lead nowhere until the container's own /proc and /dev/pts are looked at. */
export function addDeviceLinks(plan: PlanBuilder, root: Ref): void {
  plan.because("default devices", () => {
    const directory = openMountPoint(plan, root, "/dev");
    for (const [name, target] of links) {
      plan.call("symlinkat", [str(target), directory, str(name)], { ignore: ["EEXIST"], what: `/dev/${name}` });
    }
    addCoreLink(plan, directory);
    // Whatever ptmx an image has is not the one of this container's devpts.
    plan.call("unlinkat", [directory, str("ptmx"), 0], { ignore: ["ENOENT"], what: "/dev/ptmx" });
    plan.call("symlinkat", [str("pts/ptmx"), directory, str("ptmx")], { what: "/dev/ptmx" });
    plan.close(directory);
  });
}

/** /dev/core exists where the kernel has /proc/kcore. */
function addCoreLink(plan: PlanBuilder, directory: Ref): void {
  const none = plan.label("no /proc/kcore");
  plan.call("faccessat", [here, str("/proc/kcore"), 0], { onError: none });
  plan.call("symlinkat", [str("/proc/kcore"), directory, str("core")], { ignore: ["EEXIST"], what: "/dev/core" });
  plan.place(none);
}

/**
 * Binds the terminal on /dev/console. The file below the mount is made by name in a directory that is held by
 * descriptor, and opened without following a symlink (CVE-2025-52565).
 */
export function addConsole(plan: PlanBuilder, root: Ref, terminal: Ref): void {
  const what = "/dev/console";
  const directory = openInRoot(plan, root, "/dev", O_PATH | O_DIRECTORY, { what: "/dev" });
  makeFile(plan, directory, "console", { what });
  // Without O_NOFOLLOW: with it the symlink itself would be opened, and mounted on.
  const target = openInRoot(plan, directory, "console", O_PATH, { noSymlinks: true, what });
  const tree = cloneTree(plan, terminal, "", false, { what: "the terminal" });
  attach(plan, tree, target, { what });
  plan.close(tree);
  plan.close(target);
  plan.close(directory);
}
