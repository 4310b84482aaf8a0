/**
 * Mounting what a local volume is of. It is put together out of everybody's sight and attached in one call, so that no
 * crash leaves a mount that lacks something (a bind that is to be read-only and is not yet).
 */
import { fsmountInBackground, mountInBackground, umount2InBackground } from "../../../ffi/background-mount.ts";
import {
  MNT_DETACH,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_REC,
  MS_STRICTATIME,
  OPEN_TREE_CLONE,
} from "../../../ffi/constants/mount.ts";
import { AT_FDCWD, AT_RECURSIVE } from "../../../ffi/constants/open.ts";
import { errnoText, SyscallError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { fsconfig, fsopen, mount_setattr, move_mount, open_tree } from "../../../ffi/mount.ts";
import type { MountOptions } from "../../../ffi/mount-options.ts";
import { parameterMax } from "../../../ffi/overlay.ts";
import { reach } from "../../../ffi/reach.ts";
import { isDirectory, statx } from "../../../ffi/stat.ts";
import { byteLength } from "../../../ffi/text.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import { withAddress } from "./address.ts";
import { type LocalMount, parseOptions } from "./options.ts";

const ENOTDIR = 20;

/** @param target a directory. @throws EngineError in docker's words, without the password. */
export async function mountLocal(mount: LocalMount, target: string): Promise<void> {
  const resolved = await withAddress(mount);
  const options = parseOptions(resolved);
  try {
    using tree = await makeTree(resolved, options);
    if (tree === undefined) await mountWithLongOptions(resolved, options, target);
    else {
      setAttributes(tree, options);
      attach(tree, target);
    }
  } catch (error) {
    throw mountError(resolved, options, target, error);
  }
}

/** Undefined when the file system has an option that is longer than fsconfig(2) takes. */
async function makeTree({ type, device }: LocalMount, options: MountOptions): Promise<Fd | undefined> {
  if (options.bind) {
    await reach(device);
    return open_tree(AT_FDCWD, device, OPEN_TREE_CLONE | (options.recursive ? AT_RECURSIVE : 0));
  }
  const texts = [device, ...options.data.map(([, value = ""]) => value)];
  if (texts.some((text) => byteLength(text) > parameterMax)) return undefined;
  using context = fsopen(type);
  fsconfig(context, "source", device);
  if (options.readonly) fsconfig(context, "ro", true);
  for (const [key, value] of options.data) fsconfig(context, key, value ?? true);
  return await fsmountInBackground(context, options.attributes.set);
}

function attach(tree: Fd, target: string): void {
  try {
    move_mount(tree, AT_FDCWD, target);
  } catch (error) {
    // As mount(2) says it of a file. It is not looked at before: its server may be away.
    const isOnFile = error instanceof SyscallError && error.errno === "EINVAL" && !isDirectory(statx(tree));
    throw isOnFile ? new SyscallError("mount", ENOTDIR, target) : error;
  }
}

function setAttributes(tree: Fd, options: MountOptions): void {
  const { bind, attributes, recursiveAttributes, propagation } = options;
  const changes = (change: typeof attributes) => change.set !== 0 || change.clear !== 0;
  if (bind && changes(attributes)) mount_setattr(tree, attributes);
  if (changes(recursiveAttributes)) mount_setattr(tree, recursiveAttributes, AT_RECURSIVE);
  for (const { type, recursive } of propagation) {
    mount_setattr(tree, { propagation: type }, recursive ? AT_RECURSIVE : 0);
  }
}

/** By mount(2), whose page of options has space for longer ones. */
async function mountWithLongOptions(mount: LocalMount, options: MountOptions, target: string): Promise<void> {
  const { type, device } = mount;
  await mountInBackground(device, target, { type, flags: legacyFlags(options), data: dataOf(options) });
  try {
    using tree = open_tree(AT_FDCWD, target, 0);
    setAttributes(tree, options);
  } catch (error) {
    await umount2InBackground(target, MNT_DETACH);
    throw error;
  }
}

const legacyAttributes: readonly [attribute: number, flag: number][] = [
  [MOUNT_ATTR_RDONLY, MS_RDONLY],
  [MOUNT_ATTR_NOSUID, MS_NOSUID],
  [MOUNT_ATTR_NODEV, MS_NODEV],
  [MOUNT_ATTR_NOEXEC, MS_NOEXEC],
  [MOUNT_ATTR_NOATIME, MS_NOATIME],
  [MOUNT_ATTR_STRICTATIME, MS_STRICTATIME],
  [MOUNT_ATTR_NODIRATIME, MS_NODIRATIME],
  [MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW],
];

/** MS_*. */
function legacyFlags({ bind, recursive, attributes }: MountOptions): number {
  let flags = (bind ? MS_BIND : 0) | (recursive ? MS_REC : 0);
  for (const [attribute, flag] of legacyAttributes) if ((attributes.set & attribute) !== 0) flags |= flag;
  return flags;
}

function dataOf({ data }: MountOptions): string {
  return data.map(([key, value]) => (value === undefined ? key : `${key}=${value}`)).join(",");
}

const secrets = /^pass(word)?2?$/;

function withoutSecrets({ data, ...options }: MountOptions): MountOptions {
  return { ...options, data: data.map(([key, value]) => (secrets.test(key) ? [key, "********"] : [key, value])) };
}

/** As docker says it, and what the file system says beside the kernel's errno. */
function mountError(mount: LocalMount, options: MountOptions, target: string, error: unknown): EngineError {
  const flags = legacyFlags(options);
  const data = dataOf(withoutSecrets(options));
  const parts = [
    `failed to mount local volume: mount ${mount.device}:${target}`,
    ...(flags === 0 ? [] : [`flags: 0x${flags.toString(16)}`]),
    ...(data === "" ? [] : [`data: ${data}`]),
  ];
  const isNfs = mount.type.startsWith("nfs") && !/(^|,)addr=/.test(mount.options);
  // What cannot be mounted as its options say; anything else is the host's or the server's.
  const isWrong = isErrno(error, "EINVAL", "ENODEV", "ENOENT", "ENOTDIR", "ENOTBLK", "ENXIO");
  return new EngineError(isWrong ? "invalid_argument" : "internal", `${parts.join(", ")}: ${reasonOf(error)}`, {
    stage: "volume",
    cause: error,
    ...(isNfs && { hint: "the kernel needs the address of the NFS server: -o o=addr=HOST" }),
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof SyscallError)) return errorMessage(error);
  const said = error.syscall === "fsconfig" ? (error.path ?? "").replace(/^create(: |$)/, "") : "";
  return `${errnoText(error.number)}${said === "" ? "" : ` (${said})`}`;
}
