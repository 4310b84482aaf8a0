/** What a container's record says of its last run. */
import type { Container } from "../container/container.ts";
import type { ContainerState } from "../container/state.ts";
import type { EngineContext } from "../context.ts";
import type { EventDetails } from "../event/bus.ts";
import { lastLines } from "./last-lines.ts";

export type LastRun = Pick<EventDetails, "end" | "startedAt" | "finishedAt" | "failure">;

/** Nothing of a container that runs, or never did. */
export function lastRunOf(state: ContainerState): LastRun {
  switch (state.status) {
    case "running":
      return {};
    case "created":
      return state.failure === undefined ? {} : { failure: state.failure };
    case "exited": {
      const { end, startedAt, finishedAt, failure } = state;
      return { end, startedAt, finishedAt, ...(failure && { failure }) };
    }
    default:
      return lastRunOf(state.from);
  }
}

/** How many lines are kept of a container that is removed, or shown where no number is asked for. */
export const lastLinesDefault = 10;

/**
 * What is kept of a container that is being removed. To be asked while its log is there.
 * @param state before the removal began.
 */
export async function remainsOf(
  context: Pick<EngineContext, "layout">,
  container: Container,
  state: ContainerState = container.state,
): Promise<EventDetails | undefined> {
  const run = lastRunOf(state);
  if (run.end === undefined) return run.failure === undefined ? undefined : run;
  // Nobody asks why a success was one, and most containers that go have succeeded.
  if (run.end.kind === "exited" && run.end.exitCode === 0) return run;
  const lines = await lastLines(context, container, { count: lastLinesDefault });
  return "lines" in lines && lines.lines.length > 0 ? { ...run, lastLines: lines.lines } : run;
}
