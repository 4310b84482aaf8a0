/** The host's procfs, held by descriptor and verified, and what is written to it. */
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  PROC_SUPER_MAGIC,
} from "../../../ffi/constants/mount.ts";
import {
  AT_EMPTY_PATH,
  atFlags,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_WRONLY,
  openFlags,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  resolveFlags,
} from "../../../ffi/constants/open.ts";
import { STATX_INO } from "../../../ffi/constants/stat.ts";
import type { CallOptions, PlanBuilder } from "../../../ffi/plan/builder.ts";
import {
  type Argument,
  at,
  bytes,
  constant,
  flags,
  memory,
  octal,
  type Ref,
  str,
  struct,
} from "../../../ffi/plan/values.ts";
import { encodeText } from "../../../ffi/text.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { newFileSystem } from "./attributes.ts";
import { here, invalid } from "./emit.ts";

/**
 * Opens the host's /proc while it can still be reached, and makes sure that it is the root of a procfs. What is
 * written through it goes to the kernel, whatever an image or another container arranges below its own /proc
 * (CVE-2019-16884, CVE-2025-52881); `self` and the sysctls are always those of the process that asks.
 */
export function openProc(plan: PlanBuilder): Ref {
  return plan.because("procfs", () => {
    const what = "/proc";
    const proc = openBeneath(plan, here, "/proc", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS, { what, name: "proc" });
    const fileSystem = memory(120, "file system of /proc");
    const status = memory(256, "status of /proc");
    const [EPERM, procRootInode] = [1, 1n];
    const [typeOffset, inodeOffset] = [0, 32];
    const wrong = "the host's /proc is not the root of a procfs";
    plan.call("fstatfs", [proc, fileSystem], { what });
    const type = { expected: constant(PROC_SUPER_MAGIC, { PROC_SUPER_MAGIC }), equal: 0, different: -EPERM };
    plan.select(at(fileSystem, typeOffset), type, { what: wrong });
    plan.call("statx", [proc, str(""), flags(AT_EMPTY_PATH, atFlags), constant(STATX_INO, { STATX_INO }), status], {
      what,
    });
    plan.select(at(status, inodeOffset), { expected: procRootInode, equal: 0, different: -EPERM }, { what: wrong });
    return proc;
  });
}

/**
 * A procfs of the process's own pid namespace that is mounted nowhere, and has nothing but the processes: what the
 * container sees anyway, and nothing that is masked there. No one else can have mounted anything over a part of it.
 */
export function ownProc(plan: PlanBuilder): Ref {
  const attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  return plan.because("procfs", () =>
    newFileSystem(plan, {
      type: "proc",
      source: "proc",
      data: [["subset", "pid"]],
      attributes,
      what: "a procfs of its own",
      name: "proc",
    }),
  );
}

function openBeneath(
  plan: PlanBuilder,
  directory: Argument,
  path: string,
  openBits: number,
  resolve: number,
  options: CallOptions,
): Ref {
  const how = struct({
    flags: flags(openBits | O_CLOEXEC, openFlags),
    mode: octal(0),
    resolve: flags(resolve, resolveFlags),
  });
  return plan.call("openat2", [directory, str(path), how, 24], options);
}

/** Opens a file of that procfs and nothing that is mounted over it, writes, closes. */
export function writeProc(plan: PlanBuilder, proc: Ref, path: string, text: string, options: CallOptions = {}): void {
  const data = encodeText(text);
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const what = `${JSON.stringify(text)} to /proc/${path}`;
  const file = openBeneath(plan, proc, path, O_WRONLY, resolve, { what: `/proc/${path}`, ...options });
  plan.call("write", [file, bytes(data, JSON.stringify(text)), data.length], { what, ...options });
  plan.close(file);
}

/** System-wide names whose values belong to the IPC namespace, ipc_namespaces(7). */
const ipcSysctls = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

/**
 * The namespace that keeps a sysctl's value from the host, or undefined for one that has none.
 * Names are written with dots, or with slashes where a part has a dot in it (sysctl.d(5)).
 */
export function sysctlNamespace(key: string): "ipc" | "network" | "uts" | undefined {
  const name = sysctlPath(key).replace(/[./]/g, (character) => (character === "/" ? "." : "/"));
  if (ipcSysctls.has(name) || name.startsWith("fs.mqueue.")) return "ipc";
  if (name.startsWith("net.")) return "network";
  if (name === "kernel.domainname" || name === "kernel.hostname") return "uts";
  return undefined;
}

/** The path below /proc/sys. The first separator of a name says which of the two is the separator. */
export function sysctlPath(name: string): string {
  const separator = /[./]/.exec(name)?.[0];
  if (separator === "/") return name;
  return name.replace(/[./]/g, (character) => (character === "." ? "/" : "."));
}

/**
 * @param isolated the namespaces that the container has made or joined. That a joined one is not the host's own is for
 *   the caller to see to (src/runtime/create.ts): a plan is made without a look at the host.
 */
export function addSysctls(plan: PlanBuilder, config: RuntimeConfig, proc: Ref, isolated: ReadonlySet<string>): void {
  for (const [key, value] of Object.entries(config.linux?.sysctl ?? {})) {
    const field = `linux.sysctl["${key}"]`;
    const path = sysctlPath(key);
    if (path.split("/").some((part) => part === "" || part === "." || part === "..")) {
      throw invalid(field, "not a sysctl's name");
    }
    const namespace = sysctlNamespace(key);
    if (namespace === undefined) throw invalid(field, "belongs to no namespace: it would change the host");
    if (!isolated.has(namespace)) {
      throw invalid(field, `not allowed without a ${namespace} namespace of the container's own`);
    }
    if (path === "kernel/hostname" && config.hostname !== undefined && config.hostname !== "") {
      throw invalid(field, "conflicts with hostname");
    }
    plan.because(field, () => writeProc(plan, proc, `sys/${path}`, value));
  }
}
