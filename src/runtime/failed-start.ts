import type { EngineError } from "../core/errors.ts";
import { ownHierarchies } from "./cgroup-hierarchies.ts";
import { compileInit } from "./plan/init.ts";
import { startFailure } from "./plan/start-failure.ts";
import type { ContainerRecord } from "./record.ts";
import { seccompFilter } from "./seccomp-filter.ts";
import { readConfig } from "./store.ts";

/**
 * Why a created container did not become its program. Compiles the plan anew, as far as it has to do with what comes
 * after the start: that takes nothing but config.json.
 * @param report what the plan has written into exec.fifo.
 */
export function failedStart(root: string, { id, bundle }: ContainerRecord, report: Uint8Array): EngineError {
  const config = readConfig(root, id);
  const seccomp = seccompFilter(root, config.linux?.seccomp);
  const compiled = compileInit(config, {
    id,
    bundle,
    start: "wait",
    cgroupProcs: 0,
    cgroupHierarchies: ownHierarchies(),
    ...(seccomp && { seccomp }),
  });
  return startFailure(report, compiled, config);
}
