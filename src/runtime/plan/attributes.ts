/** Records that attach mounts and change their attributes, by descriptor. */
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FD,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  fsconfigCommands,
  fsmountFlags,
  fsopenFlags,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  MOVE_MOUNT_T_SYMLINKS,
  mountAttributes,
  mountFlags,
  moveMountFlags,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  openTreeFlags,
} from "../../../ffi/constants/mount.ts";
import { AT_EMPTY_PATH, AT_RECURSIVE, atFlags } from "../../../ffi/constants/open.ts";
import type { CallOptions, PlanBuilder } from "../../../ffi/plan/builder.ts";
import { type Argument, constant, flags, type Ref, str, struct } from "../../../ffi/plan/values.ts";
import { here } from "./emit.ts";

/**
 * mount_setattr(2) of a mount held by descriptor; `set` and `clear` are MOUNT_ATTR_*, `propagation` one of MS_*. With
 * MOUNT_ATTR_IDMAP the mount takes the mappings of `userNamespace`.
 */
export function setAttributes(
  plan: PlanBuilder,
  mount: Argument,
  change: { set?: number; clear?: number; propagation?: number; recursive?: boolean; userNamespace?: Argument },
  options: CallOptions = {},
): void {
  const attributes = struct({
    set: flags(change.set ?? 0, mountAttributes),
    clear: flags(change.clear ?? 0, mountAttributes),
    propagation: flags(change.propagation ?? 0, mountFlags),
    userns: change.userNamespace ?? 0,
  });
  const bits = AT_EMPTY_PATH | (change.recursive ? AT_RECURSIVE : 0);
  plan.call("mount_setattr", [mount, str(""), flags(bits, atFlags), attributes, 32], options);
}

/** A copy of the mount at a path (a bind mount), attached nowhere; an empty path is what `directory` itself is. */
export function cloneTree(
  plan: PlanBuilder,
  directory: Argument,
  path: string,
  recursive: boolean,
  options: CallOptions = {},
): Ref {
  const bits = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) | (path === "" ? AT_EMPTY_PATH : 0);
  return plan.call("open_tree", [directory, str(path), flags(bits, openTreeFlags)], options);
}

/** move_mount(2) of a mount held by descriptor onto what another descriptor is. */
export function attach(plan: PlanBuilder, mount: Argument, target: Argument, options: CallOptions = {}): void {
  const bits = flags(MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH, moveMountFlags);
  plan.call("move_mount", [mount, str(""), target, str(""), bits], options);
}

/** move_mount(2) onto a path that is the caller's: the last name of it may be a symlink, as open_tree(2) follows one too. */
export function attachAtPath(plan: PlanBuilder, mount: Argument, path: string): void {
  const bits = flags(MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS, moveMountFlags);
  plan.call("move_mount", [mount, str(""), here, str(path), bits], { what: path });
}

export interface FileSystem {
  type: string;
  source: string;
  /** A descriptor stands for what it is of. */
  data: readonly (readonly [key: string, value: string | Ref | undefined])[];
  /** MOUNT_ATTR_* of the mount. */
  attributes: number;
  /** The file system itself refuses writing, not only this mount of it. */
  readonly?: boolean;
  /** For errors: `proc on /proc`. */
  what: string;
  /** What the mount is called in explanations. */
  name?: string;
}

/** fsopen(2) … fsmount(2): a new file system, mounted nowhere yet. A refusal carries what the file system says. */
export function newFileSystem(plan: PlanBuilder, fileSystem: FileSystem): Ref {
  const { type, source, data, attributes, what, name } = fileSystem;
  const context = plan.call("fsopen", [str(type), flags(FSOPEN_CLOEXEC, fsopenFlags)], { what });
  const explained = plan.explained(context, `${what} is refused`);
  const configure = (command: number, key: string | null, value?: string) => {
    const text = value === undefined ? null : str(value);
    const shown = key === null || key === "source" ? what : `${what}: ${key}${value === undefined ? "" : `=${value}`}`;
    const args = [context, constant(command, fsconfigCommands), key === null ? null : str(key), text, 0];
    plan.call("fsconfig", args, { what: shown, onError: explained });
  };
  configure(FSCONFIG_SET_STRING, "source", source);
  for (const [key, value] of data) {
    if (value === undefined || typeof value === "string") {
      configure(value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, key, value);
      continue;
    }
    const args = [context, constant(FSCONFIG_SET_FD, fsconfigCommands), str(key), null, value];
    plan.call("fsconfig", args, { what: `${what}: ${key}`, onError: explained });
  }
  if (fileSystem.readonly) configure(FSCONFIG_SET_FLAG, "ro");
  configure(FSCONFIG_CMD_CREATE, null);
  const bits = [flags(FSMOUNT_CLOEXEC, fsmountFlags), flags(attributes, mountAttributes)];
  const options = name === undefined ? { what } : { what, name };
  const mount = plan.call("fsmount", [context, ...bits], { ...options, onError: explained });
  plan.close(context);
  return mount;
}
