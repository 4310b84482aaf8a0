/**
 * Where archives become files, and files archives: a process that sees its own executable, the C library, and the one
 * directory that is its business, and that keeps the capabilities alone that files' owners, modes, devices and
 * attributes need.
 *
 * The paths of a layer are walked safely anyway (directories.ts); this is for what is wrong below that: in the code
 * that inflates, in the runtime, in the kernel's view of a path. It is confined before its first instruction, not
 * by itself: capabilities and Landlock belong to threads, and a JavaScript runtime has several from the start.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { type CapabilityName, capabilityNames, capabilityNumbers } from "../../../ffi/constants/capability.ts";
import {
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  mountAttributes,
  mountFlags,
  moveMountFlags,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  openTreeFlags,
  umountFlags,
} from "../../../ffi/constants/mount.ts";
import {
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from "../../../ffi/constants/namespace.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  atFlags,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openFlags,
} from "../../../ffi/constants/open.ts";
import {
  CLOSE_RANGE_CLOEXEC,
  closeRangeFlags,
  PR_CAPBSET_DROP,
  PR_SET_DUMPABLE,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  prctlOptions,
  SIG_SETMASK,
  SIGKILL,
} from "../../../ffi/constants/process.ts";
import { S_IFREG } from "../../../ffi/constants/stat.ts";
import { optionsMax, relativeOptions } from "../../../ffi/overlay.ts";
import { PlanBuilder } from "../../../ffi/plan/builder.ts";
import type { Plan } from "../../../ffi/plan/records.ts";
import { bytes, constant, flags, octal, type Ref, str, strings, struct } from "../../../ffi/plan/values.ts";
import { byteLength } from "../../../ffi/text.ts";

export interface Sandbox {
  /** The directory that the process may write to; it sees it as `sandboxTarget`. */
  target: string;
  /**
   * In the place of what is in the target: the whole tree of another mount namespace, which these records enter. What
   * is mounted there later does not arrive.
   */
  enterTree?: (plan: PlanBuilder) => void;
  /** A user namespace, given as the descriptor `users`, whose root the process becomes: owners are as they are there. */
  hasUsers?: boolean;
  /** To read from the target is all it may, and it has no other capability than to read every file. */
  isReadOnly?: boolean;
  /** Directories that it sees put together, read-only, in the place of the target, which is an empty directory. */
  layers?: readonly string[];
  /** What it may read: files and directories of the host, at their own paths. */
  readable: readonly string[];
  /** A fourth descriptor, `layer`, becomes number 3. */
  hasLayer?: boolean;
  /** Absolute path of the program among them, and its arguments. */
  command: readonly string[];
}

export const sandboxTarget = "/target";

/** Set-up beside: the descriptors that the plan takes for standard input, output and error. */
export const sandboxDescriptors = ["stdin", "stdout", "stderr"] as const;

/** chown, any file's permissions, set-id bits, mknod, security.capability. */
const keptCapabilities: readonly CapabilityName[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_MKNOD",
  "CAP_SETFCAP",
];
const readingCapabilities: readonly CapabilityName[] = ["CAP_DAC_READ_SEARCH"];
/**
 * Of no use to the child. But who traces it needs every capability that it has (ptrace(2)), and no container has this
 * one unless it was given: not one that shares the host's pid namespace, either.
 */
const guardingCapability: CapabilityName = "CAP_WAKE_ALARM";
const capabilityBits = 64;

/** Mount points only; nothing is written to it. */
const rootOptions = "size=1m,mode=755";

export function sandboxPlan(sandbox: Sandbox): Plan {
  const plan = new PlanBuilder();
  // Nobody is left behind who writes into a directory that the next daemon throws away.
  plan.call("prctl", [constant(PR_SET_PDEATHSIG, prctlOptions), SIGKILL, 0, 0, 0]);
  plan.call("prctl", [constant(PR_SET_DUMPABLE, prctlOptions), 0, 0, 0, 0]);
  plan.call("close", [plan.descriptor("plan")]);
  for (const [number, name] of sandboxDescriptors.entries()) plan.call("dup3", [plan.descriptor(name), number, 0]);
  enterRoot(plan, sandbox);
  if (sandbox.hasUsers) enterUsers(plan);
  dropPrivileges(plan, sandbox.isReadOnly ? readingCapabilities : keptCapabilities);
  // Last, for it may take the place of one that was in use until here; EINVAL: it has that number already.
  if (sandbox.hasLayer) plan.call("dup3", [plan.descriptor("layer"), 3, 0], { ignore: ["EINVAL"] });
  plan.call("close_range", [sandbox.hasLayer ? 4 : 3, 0xffffffff, flags(CLOSE_RANGE_CLOEXEC, closeRangeFlags)]);
  plan.call("rt_sigprocmask", [SIG_SETMASK, bytes(new Uint8Array(8), "no signals"), null, 8]);
  plan.finish();
  const [program] = sandbox.command;
  plan.call("execve", [str(program!), strings(sandbox.command), strings(["PATH=/"])], { what: program! });
  return plan.build(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
}

/** A tmpfs with what is to be seen moved into it becomes the root; the host's is gone from the namespace. */
function enterRoot(plan: PlanBuilder, sandbox: Sandbox): void {
  const { target, readable, isReadOnly, layers, enterTree } = sandbox;
  mount(plan, null, "/", null, MS_PRIVATE | MS_REC);
  if (layers !== undefined) mountLayers(plan, target, layers);
  // Taken before anything is mounted over them.
  const targetTree = enterTree ? foreignTree(plan, enterTree) : cloneTree(plan, target);
  const trees = readable.map((path) => ({ path, tree: cloneTree(plan, path) }));
  mount(plan, "tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, rootOptions);
  plan.call("chdir", [str(target)], { what: target });
  const made = new Set(["."]);
  // What there is of devices and set-id programs is for containers.
  if (enterTree) restrictTree(plan, targetTree, isReadOnly ?? false);
  attach(plan, made, targetTree, sandboxTarget, true);
  if (!enterTree)
    restrict(plan, sandboxTarget, MS_NOSUID | MS_NODEV | MS_NOEXEC | (isReadOnly ? MS_RDONLY | MS_NOATIME : 0));
  for (const { path, tree } of trees) {
    attach(plan, made, tree, path, statSync(path).isDirectory());
    restrict(plan, path, MS_RDONLY | MS_NOSUID | MS_NODEV);
  }
  makeDirectory(plan, made, "/proc");
  // Of this process alone, for the runtime finds its own executable by it.
  mount(plan, "proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  plan.call("pivot_root", [str("."), str(".")], { what: "the sandbox" });
  plan.call("umount2", [str("."), flags(MNT_DETACH, umountFlags)], { what: "the host's root" });
  plan.call("chdir", [str("/")]);
  mount(plan, null, "/", null, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV);
}

/** In this namespace alone, where nobody else can hold it: it goes with the process. */
function mountLayers(plan: PlanBuilder, target: string, layers: readonly string[]): void {
  const { shared, options } = relativeOptions({ lower: layers });
  if (byteLength(options) > optionsMax) {
    throw new RangeError(`the overlay's ${layers.length} layers do not fit into one page of options`);
  }
  plan.call("chdir", [str(shared)], { what: shared });
  mount(plan, "overlay", target, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options);
}

function enterUsers(plan: PlanBuilder): void {
  const what = "the container's users";
  plan.call("setns", [plan.descriptor("users"), flags(CLONE_NEWUSER, { CLONE_NEWUSER })], { what });
  plan.call("setresgid", [0, 0, 0], { what });
  plan.call("setresuid", [0, 0, 0], { what });
  // The change of user has taken it away, prctl(2).
  plan.call("prctl", [constant(PR_SET_PDEATHSIG, prctlOptions), SIGKILL, 0, 0, 0]);
}

function dropPrivileges(plan: PlanBuilder, capabilities: readonly CapabilityName[]): void {
  const kept = new Set<number>([...capabilities, guardingCapability].map((name) => capabilityNumbers[name]));
  const done = plan.label("the kernel has no more capabilities");
  const known = Object.keys(capabilityNumbers).length;
  for (let number = 0; number < capabilityBits; number++) {
    if (kept.has(number)) continue;
    const args = [constant(PR_CAPBSET_DROP, prctlOptions), constant(number, capabilityNames), 0, 0, 0];
    plan.call("prctl", args, number < known ? { ignore: ["EINVAL"] } : { onError: done });
  }
  plan.place(done);
  // execve by root gives what the bounding set has, and no more (capabilities(7)).
  plan.call("prctl", [constant(PR_SET_NO_NEW_PRIVS, prctlOptions), 1, 0, 0, 0]);
}

/** A copy of all that is mounted in the namespace: whoever is in it cannot change the copy, nor what is mounted where. */
function foreignTree(plan: PlanBuilder, enter: (plan: PlanBuilder) => void): Ref {
  const own = plan.call("openat", [AT_FDCWD, str("/proc/self/ns/mnt"), flags(O_CLOEXEC, openFlags), 0]);
  const bits = flags(O_PATH | O_DIRECTORY | O_CLOEXEC, openFlags);
  const root = plan.call("openat", [AT_FDCWD, str("/"), bits, 0], { name: "own root" });
  enter(plan);
  const tree = cloneTree(plan, "/");
  plan.call("setns", [own, flags(CLONE_NEWNS, { CLONE_NEWNS })], { what: "its own mounts" });
  // setns(2) enters the root of the namespace; this process may have another one.
  plan.call("fchdir", [root]);
  plan.call("chroot", [str(".")]);
  plan.close(root);
  plan.close(own);
  return tree;
}

/** All mounts of a tree that is attached nowhere. */
function restrictTree(plan: PlanBuilder, tree: Ref, isReadOnly: boolean): void {
  const bits = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | (isReadOnly ? MOUNT_ATTR_RDONLY : 0);
  const attributes = struct({
    set: flags(bits, mountAttributes),
    clear: 0,
    propagation: flags(MS_PRIVATE, mountFlags),
    userns: 0,
  });
  const how = flags(AT_EMPTY_PATH | AT_RECURSIVE, atFlags);
  plan.call("mount_setattr", [tree, str(""), how, attributes, 32], { what: "the container's mounts" });
}

function cloneTree(plan: PlanBuilder, path: string): Ref {
  const bits = flags(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE, { ...openTreeFlags, AT_RECURSIVE });
  return plan.call("open_tree", [AT_FDCWD, str(path), bits], { what: path, name: path });
}

function attach(plan: PlanBuilder, made: Set<string>, tree: Ref, path: string, isDirectory: boolean): void {
  if (isDirectory) makeDirectory(plan, made, path);
  else {
    makeDirectory(plan, made, dirname(path));
    plan.call("mknodat", [AT_FDCWD, str(relative(path)), octal(S_IFREG | 0o600), 0], { what: path });
  }
  const moveFlags = flags(MOVE_MOUNT_F_EMPTY_PATH, moveMountFlags);
  plan.call("move_mount", [tree, str(""), AT_FDCWD, str(relative(path)), moveFlags], { what: path });
}

function makeDirectory(plan: PlanBuilder, made: Set<string>, path: string): void {
  const name = relative(path);
  if (made.has(name)) return;
  makeDirectory(plan, made, dirname(path));
  plan.call("mkdirat", [AT_FDCWD, str(name), octal(0o755)], { what: path });
  made.add(name);
}

function restrict(plan: PlanBuilder, path: string, bits: number): void {
  mount(plan, null, relative(path), null, MS_REMOUNT | MS_BIND | bits);
}

function mount(
  plan: PlanBuilder,
  source: string | null,
  path: string,
  type: string | null,
  bits: number,
  options: string | null = null,
): void {
  const text = (value: string | null) => (value === null ? null : str(value));
  plan.call("mount", [text(source), str(path), text(type), flags(bits, mountFlags), text(options)], { what: path });
}

/** Paths of the new root are looked up from the working directory, until it is the root. */
function relative(path: string): string {
  return path === "/" ? "." : path.replace(/^\//, "");
}
