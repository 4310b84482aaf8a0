import { SyscallError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { type PlanProcess, spawnPlan } from "../../ffi/plan/spawn.ts";
import type { Cgroup } from "./cgroup/cgroup.ts";
import type { PlanDescriptors } from "./descriptors.ts";
import type { CompiledPlan, PlanCheckpoint } from "./plan/context.ts";

const admission = "cgroup" satisfies PlanCheckpoint;

export interface Spawned {
  compiled: CompiledPlan;
  process: PlanProcess;
}

type Compile = (cgroupProcs: number, awaitsAdmission: boolean) => CompiledPlan;

/**
 * Starts a plan's process in a cgroup. In v2's hierarchy it is born (CLONE_INTO_CGROUP), which spares the kernel a
 * migration and its lock over all processes of the machine; into v1's it moves itself by its first records.
 * @param compile gives the plan for a number of `cgroup.N` descriptors, and whether it waits to be admitted.
 * @param options.admit puts the process into its cgroup where neither is possible.
 * @param options.timeoutMs as of spawnPlan.
 */
export function spawnInCgroup(
  cgroup: Pick<Cgroup, "intoCgroupFd" | "procsFds"> | undefined,
  descriptors: PlanDescriptors,
  compile: Compile,
  { admit, timeoutMs }: { admit?: ((pid: number) => void) | undefined; timeoutMs?: number | undefined } = {},
): Spawned {
  const limit = timeoutMs === undefined ? {} : { timeoutMs };
  if (admit !== undefined) return spawn(cgroup?.procsFds() ?? [], descriptors, compile, { admit, ...limit });
  using birthplace = cgroup?.intoCgroupFd();
  if (birthplace !== undefined) {
    try {
      return spawn(cgroup?.procsFds(true) ?? [], descriptors, compile, { birthplace, ...limit });
    } catch (error) {
      if (!isCgroupRefusal(error)) throw error;
    }
  }
  return spawn(cgroup?.procsFds() ?? [], descriptors, compile, limit);
}

function spawn(
  procs: Fd[],
  descriptors: PlanDescriptors,
  compile: Compile,
  { birthplace, admit, ...limit }: { birthplace?: Fd; admit?: (pid: number) => void; timeoutMs?: number },
): Spawned {
  procs.forEach((fd, index) => {
    descriptors.add(`cgroup.${index}`, fd);
  });
  const compiled = compile(procs.length, admit !== undefined);
  const options = {
    descriptors: descriptors.named,
    ...(birthplace && { cgroup: birthplace }),
    ...(admit && { first: { checkpoint: admission, answer: admit } }),
    ...limit,
  };
  return { compiled, process: spawnPlan(compiled.plan, options) };
}

/** clone3(2) is not there (an old kernel, a seccomp filter), or does not let in whom cgroup.procs may let in. */
function isCgroupRefusal(error: unknown): boolean {
  const errnos = ["ENOSYS", "EINVAL", "EACCES", "EBUSY", "EOPNOTSUPP"];
  return error instanceof SyscallError && error.syscall === "clone3" && errnos.includes(error.errno);
}
