/** `--restart`: what is accepted, and what it says of a container that has ended. */
import type { RestartPolicy } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import type { ContainerEnd } from "./end.ts";
import { type ContainerState, exitCodeOf, type Restarts } from "./state.ts";

const names = ["no", "always", "on-failure", "unless-stopped"];

/** @throws EngineError invalid_argument in docker's words. */
export function checkRestartPolicy({ Name = "", MaximumRetryCount = 0 }: RestartPolicy): void {
  // Clients before Docker 25 sent any count with an empty name.
  if (Name === "") return;
  if (!names.includes(Name)) {
    throw invalid(`unknown policy '${Name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  }
  const negative = MaximumRetryCount < 0;
  if (Name === "on-failure" && negative) throw invalid("maximum retry count cannot be negative");
  if (Name !== "on-failure" && MaximumRetryCount !== 0) {
    const also = negative ? " and cannot be negative" : "";
    throw invalid(`maximum retry count can only be used with 'on-failure'${also}`);
  }
}

/** Whether a container that has ended is to be started again under some condition. */
export function restarts({ Name = "" }: RestartPolicy = {}): boolean {
  return Name !== "" && Name !== "no";
}

/** How long the first restart waits; each further one twice as long. All times are Docker's. */
const firstDelayMs = 100;
const delayMaxMs = 60_000;
/** Who has run for so long begins with the first delay again. */
const longRunMs = 10_000;

export interface EndedRun {
  end: ContainerEnd;
  /** How long it ran, in milliseconds. */
  ranMs: number;
  /** What the policy had done before. */
  restarts?: Restarts | undefined;
}

/**
 * What the policy does about an end that nobody wanted; undefined: nothing. An end of which nothing is known counts as a
 * failure.
 */
export function nextRestart(policy: RestartPolicy | undefined, run: EndedRun): Restarts | undefined {
  const { count, delayMs } = run.restarts ?? { count: 0, delayMs: 0 };
  if (!wantsRestart(policy, exitCodeOf(run.end), count)) return undefined;
  const isFirst = delayMs === 0 || run.ranMs >= longRunMs;
  return { count: count + 1, delayMs: isFirst ? firstDelayMs : Math.min(2 * delayMs, delayMaxMs) };
}

function wantsRestart(policy: RestartPolicy | undefined, exitCode: number, count: number): boolean {
  switch (policy?.Name) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure": {
      const max = policy.MaximumRetryCount ?? 0;
      return exitCode !== 0 && (max === 0 || count < max);
    }
    default:
      return false;
  }
}

/** Whether a container that does not run is to be started when the daemon is: as in Docker, never one that never ran. */
export function startsAtBoot(policy: RestartPolicy | undefined, state: ContainerState): boolean {
  if (state.status !== "exited") return false;
  return policy?.Name === "always" || (policy?.Name === "unless-stopped" && !state.stoppedByHand);
}

function invalid(reason: string): EngineError {
  return new EngineError("invalid_argument", `invalid restart policy: ${reason}`, { stage: "create" });
}
