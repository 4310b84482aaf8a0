/** What is known of a container's health, and what each probe makes of it: Docker's rules, without clocks and processes. */
import type { Health, HealthcheckResult } from "../../api/schema/container.ts";
import type { FailureAction, HealthPlan } from "./plan.ts";

export interface ContainerHealth {
  status: "starting" | "healthy" | "unhealthy";
  /** Failures in a row, as far as they count. */
  failingStreak: number;
  /** The last five, oldest first. */
  log: HealthcheckResult[];
  /** What is about to be done to it, on record before it is begun: a daemon that follows one that was killed finishes it. */
  due?: FailureAction;
}

/** Docker keeps as many. */
const logMax = 5;

/** Of a container that has just been started: what its last probes said before stays to be read, as in Docker. */
export function startingHealth(before: ContainerHealth | undefined): ContainerHealth {
  return { status: "starting", failingStreak: 0, log: before?.log ?? [] };
}

/** Nobody asks a container that has ended: Docker's word for it is unhealthy. One that is being restarted is to be started. */
export function endedHealth({ due, ...before }: ContainerHealth): ContainerHealth {
  return { ...before, status: "unhealthy", ...(due === "restart" && { due }) };
}

/** @param startedAt of the container, RFC 3339. */
export function judge(
  health: ContainerHealth,
  result: HealthcheckResult,
  plan: Pick<HealthPlan, "retries" | "startPeriodMs" | "onFailure">,
  startedAt: string,
): ContainerHealth {
  const log = [...health.log, result].slice(-logMax);
  if (result.ExitCode === 0) return { status: "healthy", failingStreak: 0, log };
  // Until it was healthy once, a container may take its time.
  const isStarting = health.status === "starting";
  const hasTime = isStarting && Date.parse(result.Start) - Date.parse(startedAt) < plan.startPeriodMs;
  if (hasTime) return { ...health, log };
  const failingStreak = health.failingStreak + 1;
  if (failingStreak < plan.retries) return { status: health.status, failingStreak, log };
  const { onFailure } = plan;
  return { status: "unhealthy", failingStreak, log, ...(onFailure !== "none" && { due: onFailure }) };
}

/** How long after a probe, or the start, the next one is due. */
export function intervalMs(health: ContainerHealth, plan: HealthPlan, sinceStartMs: number): number {
  return health.status === "starting" && sinceStartMs < plan.startPeriodMs ? plan.startIntervalMs : plan.intervalMs;
}

/** `State.Health` of inspect. */
export function healthView({ status, failingStreak, log }: ContainerHealth): Health {
  return { Status: status, FailingStreak: failingStreak, Log: log };
}

/** What `ps` says behind how long it runs: ` (healthy)`. */
export function healthText({ status }: ContainerHealth): string {
  return status === "starting" ? " (health: starting)" : ` (${status})`;
}
