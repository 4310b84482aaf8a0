/** What a daemon starts when it has found out what there is: whatever its restart policy wants to run. */
import { availableParallelism } from "node:os";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";
import { startsAtBoot } from "./restart-policy.ts";
import { restartByPolicy, startContainer } from "./start.ts";

/** How many start at the same time: more would only wait for each other. */
const atOnce = 2 * availableParallelism();

/** Those whose policy waits for a later moment wait for it; the others are started, the oldest first. */
export async function startAtBoot(context: EngineContext): Promise<void> {
  const { containers, restarts, background } = context;
  const due: Container[] = [];
  for (const container of containers.all()) {
    const { state, definition } = container;
    if (state.status === "restarting" && Date.parse(state.restartAt) > Date.now()) restarts.schedule(container);
    else if (state.status === "restarting" || startsAtBoot(definition.hostConfig.RestartPolicy, state)) {
      due.push(container);
    }
  }
  const waiting = due.values();
  const worker = async () => {
    for (const container of waiting) if (!background.closed) await start(context, container);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, due.length) }, worker));
}

/** One that cannot be started has the reason on record. Somebody may have come first. */
async function start(context: EngineContext, container: Container): Promise<void> {
  try {
    if (container.state.status === "restarting") await restartByPolicy(context, container);
    else if (container.state.status === "exited") await startContainer(context, container);
  } catch (error) {
    log("warn", "could not start a container that its restart policy wants to run", {
      container: container.id,
      error: errorMessage(error),
    });
  }
}
