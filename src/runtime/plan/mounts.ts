/** `mounts` of config.json. */

import { MOUNT_ATTR_RDONLY, MS_SLAVE, PROC_SUPER_MAGIC } from "../../../ffi/constants/mount.ts";
import { AT_EMPTY_PATH, atFlags, O_PATH } from "../../../ffi/constants/open.ts";
import { STATX_MODE } from "../../../ffi/constants/stat.ts";
import { type MountOptions, parseMountOptions } from "../../../ffi/mount-options.ts";
import { isAbsolute, join } from "../../../ffi/path.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { at, constant, flags, memory, type Ref, str } from "../../../ffi/plan/values.ts";
import { byteLength } from "../../../ffi/text.ts";
import type { OciMount, RuntimeConfig } from "../../oci/runtime.ts";
import { attach, cloneTree, newFileSystem, setAttributes } from "./attributes.ts";
import { mountCgroups } from "./cgroup-mounts.ts";
import type { CgroupHierarchy, CopyUp, PlanCheckpoint } from "./context.ts";
import { cleanPath, here, invalid, openInRoot, openMountPoint, unsupported } from "./emit.ts";
import type { Mappings } from "./mappings.ts";

export interface MountContext {
  bundle: string;
  /** Sources that were opened before the process entered its namespaces, by the index of the mount. */
  sources: ReadonlyMap<number, Ref>;
  cgroupHierarchies: readonly CgroupHierarchy[];
  /** The container has a cgroup namespace of its own. */
  cgroupNamespace: boolean;
  /** Gets the procfs and the sysfs of the container, which stay open. */
  anchors: Anchors;
  /** Gets what the parent has to copy, by the checkpoint at which the plan waits for it. */
  copies: Map<PlanCheckpoint, CopyUp>;
  mappings: Mappings;
  /** The type of the first process's own root in SELinux's terms, for file systems that are new. */
  mountLabel: string | undefined;
}

interface Mount {
  config: OciMount;
  index: number;
  field: string;
  /** The destination, absolute and without `..`. */
  path: string;
  options: MountOptions;
}

function readMount(config: OciMount, index: number): Mount {
  const field = `mounts[${index}]`;
  const options = parseMountOptions(config.type, config.options ?? []);
  const [wrong] = options.unsupported;
  if (wrong !== undefined) throw unsupported(`${field}.options`, `${wrong} is not built`);
  // Since 1.2 a relative destination is one below "/".
  const mount = { config, index, field, path: cleanPath(config.destination), options };
  checkDestination(mount);
  if (options.copyUp && (config.type !== "tmpfs" || options.bind || options.remount)) {
    throw invalid(`${field}.options`, "tmpcopyup is for a new tmpfs only");
  }
  return mount;
}

/** Single files of procfs that other file systems (lxcfs) stand in for. */
const replaceableProcFiles = new Set([
  "/proc/cpuinfo",
  "/proc/diskstats",
  "/proc/meminfo",
  "/proc/stat",
  "/proc/swaps",
  "/proc/uptime",
  "/proc/loadavg",
  "/proc/slabinfo",
  "/proc/sys/kernel/ns_last_pid",
  "/proc/sys/crypto/fips_enabled",
]);

/** A mount over a part of /proc would let an image fake what security modules are told there (CVE-2019-16884). */
function checkDestination(mount: Mount): void {
  const { path, field, config, options } = mount;
  if (path === "/" && !options.remount) throw invalid(`${field}.destination`, "the root itself cannot be mounted on");
  if (path.startsWith("/proc/") && !replaceableProcFiles.has(path)) {
    throw invalid(`${field}.destination`, `${path} is inside /proc, where nothing may be mounted`);
  }
  if (path === "/proc" && !options.bind && config.type !== "proc" && !options.remount) {
    throw invalid(`${field}.type`, `/proc can be a proc file system, not ${config.type ?? "none"}`);
  }
}

/** Whether /dev is the host's or somebody else's: then no devices are made in it. */
export function hasForeignDev(config: RuntimeConfig): boolean {
  return (config.mounts ?? []).some(
    (mount) => cleanPath(mount.destination) === "/dev" && parseMountOptions(mount.type, mount.options ?? []).bind,
  );
}

/**
 * Opens the sources of bind mounts as detached copies: before the process enters a user namespace, or before it cuts
 * its mount namespace off the host's. Before a user namespace (no peers) a tmpfs with tmpcopyup is made as well: in
 * one of the container's own the host's users, whose files are copied, could own nothing.
 * @param peers whether copies of shared mounts stay their peers; else they are slaves, as those in the namespace are.
 */
export function openSources(
  plan: PlanBuilder,
  config: RuntimeConfig,
  context: { bundle: string; peers: boolean; mappings: Mappings; mountLabel?: string | undefined },
): Map<number, Ref> {
  const { peers, mountLabel } = context;
  const sources = new Map<number, Ref>();
  (config.mounts ?? []).forEach((entry, index) => {
    const mount = readMount(entry, index);
    if (mount.options.copyUp && !peers) {
      refuseOwner(mount);
      sources.set(
        index,
        plan.because(mount.field, () => newMount(plan, mount, mountLabel)),
      );
    }
    if (!mount.options.bind || mount.options.remount) return;
    plan.because(mount.field, () => {
      const source = openSource(plan, mount, context);
      if (!peers) setAttributes(plan, source, { propagation: MS_SLAVE, recursive: true }, { what: entry.source ?? "" });
      sources.set(index, source);
    });
  });
  return sources;
}

function openSource(
  plan: PlanBuilder,
  mount: Mount,
  { bundle, mappings }: { bundle: string; mappings: Mappings },
): Ref {
  const { config, field, options } = mount;
  if (config.source === undefined) throw invalid(`${field}.source`, "missing");
  const source = isAbsolute(config.source) ? config.source : join(bundle, config.source);
  const tree = cloneTree(plan, here, source, options.recursive, { what: source });
  mappings.mapMount(plan, tree, mount, source);
  return tree;
}

/** Mounts of kernel file systems by their paths: what is masked in them is looked up from the mount itself. */
export type Anchors = Map<string, Ref>;

/**
 * Adds all mounts in their order.
 * @returns what remains to be done when everything in the root has been made: mounts that become read-only.
 */
export function addMounts(plan: PlanBuilder, config: RuntimeConfig, root: Ref, context: MountContext): () => void {
  const last: (() => void)[] = [];
  (config.mounts ?? []).forEach((entry, index) => {
    const mount = readMount(entry, index);
    plan.because(mount.field, () => addMount(plan, mount, root, context, last));
  });
  return () => {
    for (const add of last) add();
  };
}

function addMount(plan: PlanBuilder, mount: Mount, root: Ref, context: MountContext, last: (() => void)[]): void {
  const { options, config } = mount;
  if (!options.remount) forget(plan, context.anchors, mount.path);
  if (options.remount) remount(plan, mount, root);
  else if (options.bind) addBind(plan, mount, root, context);
  else if (config.type === "cgroup" || config.type === "cgroup2") {
    const { path, options: parsed, field } = mount;
    mountCgroups(plan, { path, options: parsed, field, root }, context);
  } else addFileSystem(plan, mount, root, context, last);
}

function addBind(plan: PlanBuilder, mount: Mount, root: Ref, context: MountContext): void {
  const { options, path, config, index } = mount;
  const what = `${config.source} on ${path}`;
  if (options.data.length > 0) {
    throw invalid(`${mount.field}.options`, `${options.data[0]![0]} is unknown to bind mounts`);
  }
  const tree = context.sources.get(index) ?? openSource(plan, mount, context);
  applyAttributes(plan, tree, options, what);
  const target = openMountPoint(plan, root, path, { tree });
  if (path === "/proc") requireProc(plan, tree, config.source ?? "");
  else if (!replaceableProcFiles.has(path)) refuseProc(plan, target, path);
  attach(plan, tree, target, { what });
  plan.close(target);
  applyPropagation(plan, tree, options, what);
  plan.close(tree);
}

/** What `ro`, `nosuid` and their like say, before the mount is anywhere to be seen without them. */
function applyAttributes(plan: PlanBuilder, tree: Ref, options: MountOptions, what: string): void {
  const { attributes, recursiveAttributes } = options;
  if ((attributes.set | attributes.clear) !== 0) setAttributes(plan, tree, attributes, { what });
  if ((recursiveAttributes.set | recursiveAttributes.clear) !== 0) {
    setAttributes(plan, tree, { ...recursiveAttributes, recursive: true }, { what });
  }
}

function applyPropagation(plan: PlanBuilder, tree: Ref, options: MountOptions, what: string): void {
  for (const { type, recursive } of options.propagation) {
    setAttributes(plan, tree, { propagation: type, recursive }, { what });
  }
}

function addFileSystem(plan: PlanBuilder, mount: Mount, root: Ref, context: MountContext, last: (() => void)[]): void {
  const { options, path, config, field } = mount;
  const tree = context.sources.get(mount.index) ?? newMount(plan, mount, context.mountLabel);
  const { type } = config;
  const what = `${type} on ${path}`;
  // An image may not lead proc or sysfs elsewhere with a symlink (CVE-2019-19921).
  const noSymlinks = type === "proc" || type === "sysfs";
  const made = plan.label(`${path} is made`);
  const target = openMountPoint(plan, root, path, { noSymlinks, whenMade: made });
  if (options.copyUp) waitForCopy(plan, mount, { from: target, to: tree }, context.copies);
  if (type === "tmpfs" && !options.data.some(([key]) => key === "mode")) keepMode(plan, target, tree, path);
  plan.place(made);
  if (path !== "/proc") refuseProc(plan, target, path);
  attach(plan, tree, target, { what });
  plan.close(target);
  if (options.recursiveAttributes.set !== 0 || options.recursiveAttributes.clear !== 0) {
    setAttributes(plan, tree, { ...options.recursiveAttributes, recursive: true }, { what });
  }
  applyPropagation(plan, tree, options, what);
  if (noSymlinks) context.anchors.set(path, tree);
  else plan.close(tree);
  if (!isReadonlyLast(mount)) return;
  last.push(() => {
    plan.because(field, () => {
      const again = openInRoot(plan, root, path, O_PATH);
      setAttributes(plan, again, { set: MOUNT_ATTR_RDONLY }, { what });
      plan.close(again);
    });
  });
}

/** What is mounted inside of it, and its devices, are still to be made. */
function isReadonlyLast({ options, config, path }: Mount): boolean {
  return options.readonly && (config.type === "tmpfs" || path === "/dev");
}

/** The file system, mounted nowhere yet. */
function newMount(plan: PlanBuilder, mount: Mount, mountLabel: string | undefined): Ref {
  const { options, path, config, field } = mount;
  const { type } = config;
  if (type === undefined || type === "none") throw invalid(`${field}.type`, "missing");
  checkParameters(mount);
  const readonlyLast = isReadonlyLast(mount);
  return newFileSystem(plan, {
    type,
    source: config.source ?? type,
    data: [...options.data, ...labelOption(type, mountLabel)],
    attributes: options.attributes.set & ~(readonlyLast ? MOUNT_ATTR_RDONLY : 0),
    readonly: options.readonly && !readonlyLast,
    what: `${type} on ${path}`,
  });
}

/** A directory that had to be made is not copied: it is empty. */
function waitForCopy(
  plan: PlanBuilder,
  mount: Mount,
  descriptors: Pick<CopyUp, "from" | "to">,
  copies: MountContext["copies"],
): void {
  const { index, field, path } = mount;
  const checkpoint = `copy-up.${index}` as const;
  copies.set(checkpoint, { ...descriptors, field, path, owner: ownerOption(mount) === undefined });
  plan.checkpoint(checkpoint, true);
}

function ownerOption({ options }: Mount): string | undefined {
  return options.data.map(([key]) => key).find((key) => key === "uid" || key === "gid");
}

/** The tmpfs is made where the container's numbers are not known. */
function refuseOwner(mount: Mount): void {
  const option = ownerOption(mount);
  if (option === undefined) return;
  throw unsupported(`${mount.field}.options`, `${option} with tmpcopyup in a user namespace is not built`);
}

/** A mount that comes later covers an earlier one at its path, or at one below. */
function forget(plan: PlanBuilder, anchors: Anchors, path: string): void {
  for (const [covered, tree] of anchors) {
    if (covered !== path && !covered.startsWith(`${path}/`)) continue;
    plan.close(tree);
    anchors.delete(covered);
  }
}

/** fsconfig(2) takes at most 255 bytes a value. */
function checkParameters({ options, field }: Mount): void {
  for (const [key, value] of options.data) {
    if (byteLength(value ?? "") > 255) throw unsupported(`${field}.options`, `${key} has more than 255 bytes`);
  }
}

const labelled = new Set(["tmpfs", "devpts", "overlay"]);

function labelOption(type: string, label: string | undefined): [string, string][] {
  return label === undefined || !labelled.has(type) ? [] : [["context", label]];
}

/** Offsets in struct statx and struct statfs. */
const modeOffset = 28;
const typeOffset = 0;

function typeOf(plan: PlanBuilder, descriptor: Ref, path: string): ReturnType<typeof at> {
  const status = memory(120, `file system of ${path}`);
  plan.call("fstatfs", [descriptor, status], { what: path });
  return at(status, typeOffset);
}

/** A destination that a symlink of the image leads into /proc is refused like one that names it (CVE-2019-16884). */
function refuseProc(plan: PlanBuilder, target: Ref, path: string): void {
  const EACCES = 13;
  const choice = { expected: constant(PROC_SUPER_MAGIC, { PROC_SUPER_MAGIC }), equal: -EACCES, different: 0 };
  plan.select(typeOf(plan, target, path), choice, { what: `${path} leads into /proc, where nothing may be mounted` });
}

/** Only a procfs may be bound on /proc. */
function requireProc(plan: PlanBuilder, tree: Ref, source: string): void {
  const EINVAL = 22;
  const choice = { expected: constant(PROC_SUPER_MAGIC, { PROC_SUPER_MAGIC }), equal: 0, different: -EINVAL };
  plan.select(typeOf(plan, tree, source), choice, { what: `${source} is no proc file system, which /proc must be` });
}

/** A tmpfs is as open as the directory that it covers, unless that is new, or its options say how open it is. */
function keepMode(plan: PlanBuilder, target: Ref, tree: Ref, path: string): void {
  const status = memory(256, `status of ${path}`);
  plan.call("statx", [target, str(""), flags(AT_EMPTY_PATH, atFlags), constant(STATX_MODE, { STATX_MODE }), status], {
    what: path,
  });
  const mode = plan.load(at(status, modeOffset), { mask: 0o7777n }, { name: `mode of ${path}` });
  plan.call("fchmodat", [tree, str("."), mode], { what: path });
}

/** A change of a mount that is there already, the root's included. */
function remount(plan: PlanBuilder, mount: Mount, root: Ref): void {
  const { options, path, field } = mount;
  if (options.data.length > 0) {
    throw unsupported(`${field}.options`, `${options.data[0]![0]} cannot be changed by a remount`);
  }
  const target = path === "/" ? root : openInRoot(plan, root, path, O_PATH);
  applyAttributes(plan, target, options, `remount of ${path}`);
  applyPropagation(plan, target, options, `remount of ${path}`);
  if (target !== root) plan.close(target);
}
