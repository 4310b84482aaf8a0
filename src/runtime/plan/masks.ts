/** linux.maskedPaths and linux.readonlyPaths: what of /proc and /sys a container does not see, or may not change. */
import { MOUNT_ATTR_RDONLY } from "../../../ffi/constants/mount.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../../../ffi/constants/open.ts";
import { S_IFCHR } from "../../../ffi/constants/stat.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import type { Label } from "../../../ffi/plan/records.ts";
import { answer, type Ref } from "../../../ffi/plan/values.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { attach, cloneTree, newFileSystem, setAttributes } from "./attributes.ts";
import { requireNode } from "./devices.ts";
import { cleanPath, openInRoot } from "./emit.ts";
import type { Anchors } from "./mounts.ts";

/**
 * Covers each path that exists: a file with /dev/null, once it is sure that it is that device and not something that
 * the image has in its place (CVE-2025-31133); a directory with an empty, read-only tmpfs, one for all.
 */
export function maskPaths(plan: PlanBuilder, config: RuntimeConfig, root: Ref, anchors: Anchors): void {
  const paths = config.linux?.maskedPaths ?? [];
  if (paths.length === 0) return;
  plan.because("linux.maskedPaths", () => {
    const nothing = openInRoot(plan, root, "/dev/null", O_PATH | O_NOFOLLOW, { noSymlinks: true, name: "null" });
    requireNode(plan, nothing, { type: S_IFCHR, major: 1, minor: 3 }, "/dev/null");
    const empty = newFileSystem(plan, {
      type: "tmpfs",
      source: "tmpfs",
      data: [],
      attributes: MOUNT_ATTR_RDONLY,
      readonly: true,
      what: "an empty tmpfs",
      name: "empty",
    });
    paths.forEach((path, index) => {
      plan.because(`linux.maskedPaths[${index}]`, () => {
        maskPath(plan, locate(path, root, anchors), { empty, nothing });
      });
    });
    plan.close(empty);
    plan.close(nothing);
  });
}

interface Place {
  path: string;
  /** Where the walk begins, and the path from there. */
  from: Ref;
  below: string;
}

/**
 * Whoever can write to the root meanwhile could exchange /proc with something else between its mount and the masks: the
 * real one would stay open to the container (CVE-2023-28642). The walk begins at the mount where there is one.
 */
function locate(path: string, root: Ref, anchors: Anchors): Place {
  const clean = cleanPath(path);
  for (const [mounted, tree] of anchors) {
    if (clean.startsWith(`${mounted}/`)) return { path, from: tree, below: clean.slice(mounted.length) };
  }
  return { path, from: root, below: path };
}

function maskPath(plan: PlanBuilder, place: Place, { empty, nothing }: { empty: Ref; nothing: Ref }): void {
  const { path, from, below } = place;
  const [file, first] = [plan.label(`${path} is no directory`), plan.label("the first directory")];
  const [masked, done] = [plan.label(`${path} is masked`), plan.label(`after ${path}`)];
  const directory = openInRoot(plan, from, below, O_PATH | O_DIRECTORY, { what: path, onError: file });
  const mask = cloneTree(plan, empty, "", false, { what: "an empty tmpfs", onError: first });
  attach(plan, mask, directory, { what: path });
  plan.close(mask);
  plan.place(masked);
  plan.close(directory);
  plan.place(done);
  plan.defer(() => {
    // Before Linux 6.15 a mount that is attached nowhere cannot be copied: the first directory gets it itself.
    plan.place(first);
    attach(plan, empty, directory, { what: path, next: masked });
    plan.place(file);
    const target = openIfPresent(plan, place, done);
    const cover = cloneTree(plan, nothing, "", false, { what: "/dev/null" });
    attach(plan, cover, target, { what: path });
    plan.close(cover);
    plan.close(target);
    plan.jump(done);
  });
}

/** Makes each path that exists, with what is mounted below it, read-only: a copy of the mount covers it. */
export function protectPaths(plan: PlanBuilder, config: RuntimeConfig, root: Ref, anchors: Anchors): void {
  (config.linux?.readonlyPaths ?? []).forEach((path, index) => {
    plan.because(`linux.readonlyPaths[${index}]`, () => {
      const absent = plan.label(`${path} is absent`);
      const target = openIfPresent(plan, locate(path, root, anchors), absent);
      const copy = cloneTree(plan, target, "", true, { what: path });
      setAttributes(plan, copy, { set: MOUNT_ATTR_RDONLY, recursive: true }, { what: path });
      attach(plan, copy, target, { what: path });
      plan.close(copy);
      plan.close(target);
      plan.place(absent);
    });
  });
}

/**
 * Opens what is at a path. That there is nothing is one thing; that it cannot be opened, for want of memory or after too
 * many renames on the way, must not leave it open to the container.
 */
function openIfPresent(plan: PlanBuilder, { path, from, below }: Place, absent: Label): Ref {
  const [failed, found] = [plan.label(`${path} cannot be opened`), plan.label(`${path} is there`)];
  const target = openInRoot(plan, from, below, O_PATH, { what: path, onError: failed });
  plan.place(found);
  plan.defer(() => {
    plan.place(failed);
    for (const errno of [ENOENT, ENOTDIR]) {
      plan.select(answer(target), { expected: BigInt(-errno), equal: 0, different: 1 }, { onZero: absent });
    }
    openInRoot(plan, from, below, O_PATH, { what: path, into: target, next: found });
  });
  return target;
}

const [ENOENT, ENOTDIR] = [2, 20];
