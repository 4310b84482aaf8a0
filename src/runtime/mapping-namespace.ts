import { CLONE_NEWUSER } from "../../ffi/constants/namespace.ts";
import { O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { PlanBuilder } from "../../ffi/plan/builder.ts";
import { spawnPlan } from "../../ffi/plan/spawn.ts";
import { wrapError } from "../core/errors.ts";
import type { LinuxIdMapping } from "../oci/runtime.ts";
import { writeUserMaps } from "./user-maps.ts";

/**
 * A user namespace with nobody in it, for what is held of it: mount_setattr(2) takes its mappings for a mount. It is
 * born with a process of its own, since one with threads can make none, which ends at once.
 * @throws EngineError.
 */
export function makeMappingNamespace(uids: readonly LinuxIdMapping[], gids: readonly LinuxIdMapping[]): Fd {
  const plan = new PlanBuilder();
  plan.checkpoint("user-maps", true);
  plan.call("exit_group", [0]);
  try {
    using process = spawnPlan(plan.build(CLONE_NEWUSER));
    try {
      process.next();
      writeUserMaps(process.pid, uids, gids);
      return open(`/proc/${process.pid}/ns/user`, O_RDONLY);
    } finally {
      process.kill();
    }
  } catch (error) {
    throw wrapError(error, "make a user namespace for mapped mounts");
  }
}
