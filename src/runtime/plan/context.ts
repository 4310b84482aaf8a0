/** What the compilers of plans are told beside config.json, and what they make. */
import type { Plan } from "../../../ffi/plan/records.ts";
import type { Ref } from "../../../ffi/plan/values.ts";
import type { LinuxIdMapping, LinuxNamespaceType } from "../../oci/runtime.ts";
import type { OverlayMount } from "../options.ts";

/**
 * Names of the descriptors that a plan uses. Whoever spawns it gives those that `CompiledPlan.descriptors` lists:
 *
 * - `stdin`, `stdout`, `stderr`: the process's standard streams, when it has no terminal;
 * - `execFifo`: exec.fifo, opened with O_PATH, with `start: "wait"`;
 * - `cgroup.0`, `cgroup.1` …: cgroup.procs of each hierarchy, for writing (Cgroup.procsFds), and `cgroup.fallback.0`
 *   … of an exec;
 * - `namespace.network` …: a namespace to join, by its type;
 * - `state.creating`, `state.created`: memfds with the state JSON that createContainer and startContainer hooks read,
 *   which the parent has written when it answers `create-runtime`;
 * - `mapping.0`, `mapping.1` …: the user namespaces that mappingNamespaces lists;
 * - `preserved.3`, `preserved.4` …: descriptors that keep their number.
 */
export type PlanDescriptorName = string;

/**
 * Where a plan reports to its parent, in this order, each only when it is needed. At those that wait the parent acts,
 * and then calls PlanProcess.proceed.
 */
export type PlanCheckpoint =
  /** Waits, before anything else is done: the parent has the process put into its cgroup. spawnInCgroup answers it. */
  | "cgroup"
  /** Waits: the parent writes uid_map and gid_map of the process. */
  | "user-maps"
  /**
   * Waits: the parent copies into the tmpfs of mounts[N] what the directory has that it will cover, with the descriptors
   * that `compiled.copies` names.
   */
  | `copy-up.${number}`
  /**
   * Waits: the namespaces exist, the root is still the host's; the parent runs prestart and createRuntime hooks, and
   * writes the state for those that the process runs itself.
   */
  | "create-runtime"
  /** Waits: the parent takes the terminal's master: pidfd_getfd(process.pidfd, process.result(compiled.terminal)). */
  | "terminal"
  /**
   * Waits, in a container that is started at once: its program must not run before the parent has written down who it
   * is, or a `kill` that follows the program's first word would not find it.
   */
  | "recorded"
  /** Waits: the parent takes seccomp's listener likewise, from `compiled.seccompListener`. */
  | "seccomp-listener"
  /** The process is set up and opens exec.fifo next, where it stays until `start`. */
  | "created"
  /** Goes on to execve by itself. */
  | "ready";

export interface CompiledPlan {
  plan: Plan;
  descriptors: PlanDescriptorName[];
  /** The result that is the number of the terminal's master in the process. */
  terminal?: Ref;
  seccompListener?: Ref;
  copies?: ReadonlyMap<PlanCheckpoint, CopyUp>;
}

/** The option tmpcopyup of a mount. */
export interface CopyUp {
  /** The field of config.json. */
  field: string;
  /** The destination. */
  path: string;
  /** The results that are descriptors of the directory and of the tmpfs, which is mounted nowhere yet. */
  from: Ref;
  to: Ref;
  /** The tmpfs gets the directory's owner: its options name none. */
  owner: boolean;
}

export interface SeccompFilter {
  /** struct sock_filter[]. */
  program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_*. */
  flags: number;
}

/** What a mount of type "cgroup" shows, when the container does not have a cgroup namespace of its own. */
export interface CgroupHierarchy {
  /** The name of its directory below /sys/fs/cgroup; empty for cgroup v2. */
  name: string;
  /** The options that mount it: v1's controllers or `name=systemd`; empty for v2. */
  options: string[];
  /** Absolute: the container's cgroup in it. */
  directory: string;
}

/** What init and exec have in common. */
export interface ProcessContext {
  /** linux.seccomp, compiled. */
  seccomp?: SeccompFilter;
  /** The process waits at "cgroup" until somebody else has put it into its cgroup. */
  awaitsAdmission?: boolean;
  /** Keep descriptors 3 … 2 + preserveFds. */
  preserveFds?: number;
  noNewKeyring?: boolean;
  /**
   * The caller has no privileges outside of the container's user namespace: that is entered first, and sources of
   * mounts are opened in it.
   */
  unprivileged?: boolean;
}

export interface InitContext extends ProcessContext {
  /** The container's id; it names the session keyring. */
  id: string;
  /** Absolute: what `root.path` is relative to. */
  bundle: string;
  start: "now" | "wait";
  /** How many descriptors `cgroup.N` there are; 0 leaves the process where it is. */
  cgroupProcs: number;
  /** For mounts of type "cgroup". */
  cgroupHierarchies?: CgroupHierarchy[];
  /** In place of what lies at `root.path`. */
  rootfsMount?: OverlayMount;
  noPivot?: boolean;
}

export interface ExecContext extends ProcessContext {
  id: string;
  /** The namespaces that the container has for itself: each is a descriptor `namespace.TYPE`. */
  namespaces: LinuxNamespaceType[];
  cgroupProcs: number;
  /** Whether descriptors `cgroup.fallback.N` are given, for a container's cgroup v2 that processes cannot join. */
  cgroupFallback?: boolean;
  /** Of the container's user namespace, where its configuration tells them. */
  users?: readonly LinuxIdMapping[];
  keepOrphans?: boolean;
}

/** The descriptors that no record uses, because they only stay open. */
export function preservedDescriptors({ preserveFds = 0 }: ProcessContext): PlanDescriptorName[] {
  const names: PlanDescriptorName[] = [];
  for (let number = 3; number < 3 + preserveFds; number++) names.push(`preserved.${number}`);
  return names;
}
