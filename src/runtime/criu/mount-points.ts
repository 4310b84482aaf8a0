/** criu mounts on what is there: files and directories that a container's start would make are made here. */
import { MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH, OPEN_TREE_CLONE } from "../../../ffi/constants/mount.ts";
import {
  AT_FDCWD,
  AT_RECURSIVE,
  O_DIRECTORY,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../../../ffi/constants/open.ts";
import { S_IFREG } from "../../../ffi/constants/stat.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { mkdirat, mknodat, open, openat2 } from "../../../ffi/files.ts";
import { move_mount, open_tree } from "../../../ffi/mount.ts";
import { parseMountOptions } from "../../../ffi/mount-options.ts";
import { isDirectory, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { cleanPath } from "../plan/emit.ts";
import { bindsOf, sourceOf } from "./external-mounts.ts";

/**
 * Makes the mount points of config.json that the root lacks, in their order: one may lie in a bind mount that comes
 * before it. What lies in a tmpfs, or in a file system of the kernel's, criu brings back itself. Call it in a mount
 * namespace that is thrown away: the binds are mounted.
 */
export function makeMountPoints(config: RuntimeConfig, rootfs: string, bundle: string): void {
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  const binds = new Map(bindsOf(config).map(({ config: mount, ...bind }) => [mount, bind]));
  const virtual: string[] = [];
  (config.mounts ?? []).forEach((mount, index) => {
    const path = cleanPath(mount.destination);
    const bind = binds.get(mount);
    if (parseMountOptions(mount.type, mount.options ?? []).remount) return;
    if (path === "/" || virtual.some((above) => path.startsWith(`${above}/`))) return;
    try {
      if (bind === undefined) {
        makePoint(root, path, true).close();
        virtual.push(path);
      } else bindAt(root, path, sourceOf(mount, bundle), bind.recursive);
    } catch (error) {
      throw wrapError(error, `mounts[${index}]: mount point ${path}`);
    }
  });
}

function bindAt(root: Fd, path: string, source: string, recursive: boolean): void {
  using tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0));
  using target = makePoint(root, path, isDirectory(statx(tree)));
  move_mount(tree, target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/** Opens a path inside the root, making what is missing on the way; symlinks cannot lead out of it. */
function makePoint(root: Fd, path: string, directory: boolean): Fd {
  const names = path.split("/").filter((name) => name !== "");
  for (let count = 1; count <= names.length; count++) {
    const part = names.slice(0, count).join("/");
    try {
      openInside(root, part).close();
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      using parent = openInside(root, names.slice(0, count - 1).join("/") || ".");
      make(parent, names[count - 1]!, directory || count < names.length);
    }
  }
  const opened = openInside(root, names.join("/"));
  if (isDirectory(statx(opened)) === directory) return opened;
  opened.close();
  throw new EngineError("conflict", `${path} is ${directory ? "no directory" : "a directory"}`);
}

function make(parent: Fd, name: string, directory: boolean): void {
  try {
    if (directory) mkdirat(parent, name, 0o755);
    else mknodat(parent, name, S_IFREG | 0o755);
  } catch (error) {
    // Somebody else has made it meanwhile; what it is will be looked at.
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

function openInside(root: Fd, path: string): Fd {
  return openat2(root, path, { flags: O_PATH, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
}
