/** Mounts of type "cgroup": the container's own view of its cgroups, whichever version the host has. */
import { MOUNT_ATTR_RDONLY } from "../../../ffi/constants/mount.ts";
import type { MountOptions } from "../../../ffi/mount-options.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { octal, type Ref, str } from "../../../ffi/plan/values.ts";
import { attach, cloneTree, newFileSystem, setAttributes } from "./attributes.ts";
import type { CgroupHierarchy } from "./context.ts";
import { here, invalid, openMountPoint } from "./emit.ts";

export interface CgroupMount {
  path: string;
  options: MountOptions;
  field: string;
  root: Ref;
}

interface CgroupView {
  cgroupHierarchies: readonly CgroupHierarchy[];
  cgroupNamespace: boolean;
}

/**
 * With a cgroup namespace the file system itself is mounted, and shows the container's cgroup as its root; without one
 * the container's own directory of each hierarchy is bound. v1's hierarchies are directories of a tmpfs.
 */
export function mountCgroups(plan: PlanBuilder, mount: CgroupMount, view: CgroupView): void {
  const [first] = view.cgroupHierarchies;
  if (first === undefined) throw invalid(`${mount.field}.type`, "the container has no cgroup to show");
  if (view.cgroupHierarchies.length === 1 && first.name === "") mountUnified(plan, mount, first, view);
  else mountLegacy(plan, mount, view);
}

function mountUnified(plan: PlanBuilder, mount: CgroupMount, hierarchy: CgroupHierarchy, view: CgroupView): void {
  const { options, path, root } = mount;
  const what = `cgroup2 on ${path}`;
  const set = options.attributes.set;
  const tree = view.cgroupNamespace
    ? newFileSystem(plan, { type: "cgroup2", source: "cgroup", data: options.data, attributes: set, what })
    : bindHierarchy(plan, hierarchy, set, what);
  place(plan, tree, root, path, options, what);
}

function bindHierarchy(plan: PlanBuilder, hierarchy: CgroupHierarchy, set: number, what: string): Ref {
  const tree = cloneTree(plan, here, hierarchy.directory, true, { what: hierarchy.directory });
  if (set !== 0) setAttributes(plan, tree, { set }, { what });
  return tree;
}

function mountLegacy(plan: PlanBuilder, mount: CgroupMount, view: CgroupView): void {
  const { options, path, root } = mount;
  const what = `tmpfs on ${path}`;
  const writable = options.attributes.set & ~MOUNT_ATTR_RDONLY;
  const data = [["mode", "755"]] as const;
  const tmpfs = newFileSystem(plan, { type: "tmpfs", source: "tmpfs", data, attributes: writable, what });
  const target = openMountPoint(plan, root, path);
  attach(plan, tmpfs, target, { what });
  plan.close(target);
  for (const hierarchy of view.cgroupHierarchies) mountHierarchy(plan, mount, tmpfs, hierarchy, view);
  for (const { type, recursive } of options.propagation) {
    setAttributes(plan, tmpfs, { propagation: type, recursive }, { what });
  }
  if (options.readonly) setAttributes(plan, tmpfs, { set: MOUNT_ATTR_RDONLY }, { what });
  plan.close(tmpfs);
}

function mountHierarchy(
  plan: PlanBuilder,
  mount: CgroupMount,
  tmpfs: Ref,
  hierarchy: CgroupHierarchy,
  view: CgroupView,
): void {
  const { name, options: parameters } = hierarchy;
  const what = `cgroup on ${mount.path}/${name}`;
  const set = mount.options.attributes.set;
  plan.call("mkdirat", [tmpfs, str(name), octal(0o755)], { what: `${mount.path}/${name}` });
  const tree = view.cgroupNamespace
    ? newFileSystem(plan, { type: "cgroup", source: "cgroup", data: parameters.map(parameter), attributes: set, what })
    : bindHierarchy(plan, hierarchy, set, what);
  const target = openMountPoint(plan, tmpfs, `/${name}`);
  attach(plan, tree, target, { what });
  plan.close(target);
  plan.close(tree);
  // Controllers that share a hierarchy are found under their own names too: cpu and cpuacct of cpu,cpuacct.
  const aliases = name.includes(",") ? name.split(",") : [];
  for (const alias of aliases) {
    plan.call("symlinkat", [str(name), tmpfs, str(alias)], { what: `${mount.path}/${alias}` });
  }
}

/** `memory` stands alone, `name=systemd` is a pair. */
function parameter(text: string): [string, string | undefined] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)];
}

function place(plan: PlanBuilder, tree: Ref, root: Ref, path: string, options: MountOptions, what: string): void {
  const target = openMountPoint(plan, root, path);
  attach(plan, tree, target, { what });
  plan.close(target);
  for (const { type, recursive } of options.propagation)
    setAttributes(plan, tree, { propagation: type, recursive }, { what });
  plan.close(tree);
}
