/** Namespaces with nobody in them, for whoever holds their descriptors. A process with threads cannot make them itself. */
import { CLONE_NEWNET, CLONE_NEWUSER, cloneFlags } from "../constants/namespace.ts";
import { O_RDONLY } from "../constants/open.ts";
import type { Descriptor, Fd } from "../fd.ts";
import { open } from "../files.ts";
import { PlanBuilder } from "./builder.ts";
import type { Plan } from "./records.ts";
import { spawnPlan } from "./spawn.ts";
import { constant, flags } from "./values.ts";

/** Where the short-lived process waits until its namespace is held. */
const made = "made";

/** A new user namespace. @param writeMaps writes uid_map and gid_map of the process with that pid. @throws SyscallError. */
export function createUserNamespace(writeMaps: (pid: number) => void): Fd {
  const plan = new PlanBuilder();
  waitToBeHeld(plan);
  return holdNamespace(plan.build(CLONE_NEWUSER), "user", {}, writeMaps);
}

/**
 * A new network namespace that belongs to a user namespace: its root may configure it, open raw sockets in it, and mount
 * its sysfs. @throws SyscallError.
 */
export function createNetworkNamespaceIn(userNamespace: Descriptor): Fd {
  const plan = new PlanBuilder();
  plan.call("setns", [plan.descriptor("user"), constant(CLONE_NEWUSER, cloneFlags)], { what: "the user namespace" });
  plan.call("unshare", [flags(CLONE_NEWNET, cloneFlags)], { what: "network namespace" });
  waitToBeHeld(plan);
  return holdNamespace(plan.build(), "net", { user: userNamespace });
}

function waitToBeHeld(plan: PlanBuilder): void {
  plan.checkpoint(made, true);
  plan.call("exit_group", [0]);
}

function holdNamespace(
  plan: Plan,
  file: "user" | "net",
  descriptors: Record<string, Descriptor>,
  prepare: (pid: number) => void = () => undefined,
): Fd {
  using process = spawnPlan(plan, { descriptors });
  try {
    if (process.next() === undefined) throw process.failure()?.error ?? new Error("the process ended at once");
    prepare(process.pid);
    return open(`/proc/${process.pid}/ns/${file}`, O_RDONLY);
  } finally {
    process.kill();
  }
}
