/** What is done to a container that has become unhealthy, as podman's `--health-on-failure` has it. */
import { isEngineError } from "../../core/errors.ts";
import type { Container } from "../container/container.ts";
import { restartContainer } from "../container/restart.ts";
import { killContainer, stopContainer } from "../container/stop.ts";
import type { EngineContext } from "../context.ts";
import type { FailureAction } from "./plan.ts";

/**
 * A container that is ended for its health stays ended, whatever its restart policy: that is what `restart` is for. Nothing
 * is done to one that somebody is about to stop.
 * @throws EngineError as the verbs do.
 */
export async function actOnFailure(context: EngineContext, container: Container, action: FailureAction): Promise<void> {
  const { state } = container;
  const isHalfDone = action === "restart" && state.status === "exited";
  if ((state.status !== "running" && !isHalfDone) || state.stoppedByHand) return;
  try {
    if (action === "restart") await restartContainer(context, container, { yields: true });
    else if (action === "stop") await stopContainer(context, container, {});
    else await killContainer(context, container, "SIGKILL");
  } catch (error) {
    // It has ended in the same moment, or was removed.
    if (
      !isEngineError(error, "not_modified") &&
      !isEngineError(error, "conflict") &&
      !isEngineError(error, "not_found")
    ) {
      throw error;
    }
  }
}
