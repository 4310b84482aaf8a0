/** A user or group that the container's user namespace does not have: the kernel says EINVAL and no more. */
import type { PlanFailure } from "../../ffi/plan/failure.ts";

/** Undefined where that is not the reason. */
export function unknownUser(failure: PlanFailure | undefined): string | undefined {
  if (failure?.why !== "process.user" || failure.errno !== "EINVAL") return undefined;
  const which = failure.call === "setgroups" ? "not all of them are" : "it is not";
  return `${which} in the container's user namespace`;
}
