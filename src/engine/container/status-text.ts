import { humanDuration } from "../../core/human-duration.ts";
import { type ContainerHealth, healthText } from "../health/health.ts";
import { type ContainerState, exitCodeOf } from "./state.ts";

/** The column `STATUS` of `ps`, in docker's words: `Up 2 hours (healthy)`, `Exited (0) 3 minutes ago`. */
export function statusText(state: ContainerState, nowMs: number, health?: ContainerHealth): string {
  switch (state.status) {
    case "created":
      return "Created";
    case "starting":
      return statusText(state.from, nowMs);
    case "running":
      return `Up ${humanDuration(nowMs - Date.parse(state.startedAt))}${state.pausedFor === undefined ? healthSuffix(health) : " (Paused)"}`;
    case "exited":
      return `Exited (${exitCodeOf(state.end)}) ${humanDuration(nowMs - Date.parse(state.finishedAt))} ago`;
    case "restarting":
      return `Restarting (${exitCodeOf(state.from.end)}) ${humanDuration(nowMs - Date.parse(state.from.finishedAt))} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
  }
}

function healthSuffix(health: ContainerHealth | undefined): string {
  return health === undefined ? "" : healthText(health);
}
