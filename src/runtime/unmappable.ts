/** Which file system is to blame when a mount cannot be mapped: mount_setattr(2) says EINVAL and no more. */
import { MOUNT_ATTR_IDMAP, OPEN_TREE_CLONE } from "../../ffi/constants/mount.ts";
import { AT_FDCWD, O_PATH } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { readFileSync } from "../../ffi/fs.ts";
import { mount_setattr, open_tree } from "../../ffi/mount.ts";
import type { PlanFailure } from "../../ffi/plan/failure.ts";
import { statx } from "../../ffi/stat.ts";
import { isErrno } from "../core/errors.ts";
import { type MountEntry, parseMountInfo } from "./criu/mount-info.ts";
import { makeMappingNamespace } from "./mapping-namespace.ts";
import { ownersOf } from "./plan/mappings.ts";

/** Undefined where that is not the reason, or the mount is not to be seen from here. */
export function unmappable(failure: PlanFailure | undefined): string | undefined {
  if (failure?.call !== "mount_setattr" || failure.errno !== "EINVAL") return undefined;
  if (!failure.what?.startsWith(ownersOf(""))) return undefined;
  const source = failure.what.slice(ownersOf("").length);
  const entries = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  try {
    using place = open(source, O_PATH);
    const { mountId } = statx(place);
    const beneath = source.endsWith("/") ? source : `${source}/`;
    const isBelow = ({ mountPoint }: MountEntry) =>
      failure.text.includes("AT_RECURSIVE") && mountPoint.startsWith(beneath);
    using namespace = makeMappingNamespace([aMapping], [aMapping]);
    for (const entry of entries) {
      const isSource = entry.id === Number(mountId);
      if (!isSource && !isBelow(entry)) continue;
      const path = isSource ? source : entry.mountPoint;
      if (!canBeMapped(path, namespace)) return `${path}: the file system ${entry.type} cannot be mapped`;
    }
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) throw error;
  }
  return undefined;
}

/** Which numbers it has makes no difference. */
const aMapping = { containerID: 0, hostID: 1, size: 1 };

function canBeMapped(path: string, userNamespace: Fd): boolean {
  using tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
  try {
    mount_setattr(tree, { set: MOUNT_ATTR_IDMAP, userNamespace });
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL")) return false;
    throw error;
  }
}
