/**
 * Makes a spare shim quick at its first and only start. JavaScript that runs for the first time is decoded from
 * bytecode as it goes, which costs more than the work itself; so a spare loads what a start needs and goes through the
 * motions while nobody waits: it compiles a plan that it throws away, and starts a process that exits at once.
 */
import { PlanBuilder } from "../../ffi/plan/builder.ts";
import { rehearsePlan, spawnPlan } from "../../ffi/plan/spawn.ts";
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { openCgroup } from "../runtime/cgroup/cgroup.ts";
import { cgroupHierarchies } from "../runtime/cgroup-hierarchies.ts";
import { checkConfig } from "../runtime/check-config.ts";
import { compileInit } from "../runtime/plan/init.ts";
import { specTemplate } from "../runtime/spec-template.ts";

/** Loads the rest of what a start with the built-in runtime and a log will ask for. */
async function load(): Promise<void> {
  await Promise.all([import("./builtin-runtime.ts"), import("../logging/json-file.ts")]);
}

/** Never fails: a start that was not rehearsed is only slower. */
export async function rehearse(): Promise<void> {
  try {
    await load();
    // The first time takes 9 ms, the second 4, every later one 2.
    for (const mapped of [false, true]) compilePlan(mapped);
    startProcess();
  } catch (error) {
    log("debug", `rehearsal: ${errorMessage(error)}`);
  }
}

/** @param mapped for a container in a user namespace, which goes through all that others do, and more. */
function compilePlan(mapped: boolean): void {
  const config = specTemplate({ cgroupNamespace: true });
  if (mapped) joinUserNamespace(config);
  const rootfsMount = { lower: ["/lower"], upper: "/upper", work: "/work", mapped };
  const { process } = checkConfig(config, "/", rootfsMount);
  const cgroup = openCgroup("/rehearsal");
  const { plan } = compileInit(
    { ...config, process: { ...process, terminal: false } },
    {
      id: "rehearsal",
      bundle: "/",
      start: "now",
      cgroupProcs: 1,
      cgroupHierarchies: cgroupHierarchies(cgroup),
      rootfsMount,
      preserveFds: 0,
      noPivot: false,
      noNewKeyring: false,
    },
  );
  rehearsePlan(plan);
}

function joinUserNamespace(config: RuntimeConfig): void {
  const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const namespaces = [...(config.linux?.namespaces ?? []), { type: "user", path: "/proc/self/ns/user" } as const];
  config.linux = { ...config.linux, namespaces, uidMappings: mapping, gidMappings: mapping };
  config.mounts?.push({ destination: "/mapped", type: "bind", source: "/", options: ["rbind", "ridmap"] });
}

function startProcess(): void {
  const plan = new PlanBuilder();
  plan.call("exit_group", [0]);
  using process = spawnPlan(plan.build());
  process.reap();
}
