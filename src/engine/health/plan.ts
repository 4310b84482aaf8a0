/** What a container's configuration asks to be probed, and how often: defaults filled in, nanoseconds made milliseconds. */
import type { ContainerConfig } from "../../api/schema/container-config.ts";

export interface HealthPlan {
  /** A command line that is run in the container. */
  command: string[];
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  startIntervalMs: number;
  retries: number;
}

/** Docker's. */
const defaults = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, startIntervalMs: 5000, retries: 3 };
const shellDefault = ["/bin/sh", "-c"];

/** @returns undefined for a container that is not probed. */
export function healthPlan(config: Pick<ContainerConfig, "Healthcheck" | "Shell">): HealthPlan | undefined {
  const command = commandOf(config);
  if (command === undefined) return undefined;
  const { Interval, Timeout, StartPeriod, StartInterval, Retries } = config.Healthcheck!;
  return {
    command,
    intervalMs: milliseconds(Interval) ?? defaults.intervalMs,
    timeoutMs: milliseconds(Timeout) ?? defaults.timeoutMs,
    startPeriodMs: milliseconds(StartPeriod) ?? defaults.startPeriodMs,
    startIntervalMs: milliseconds(StartInterval) ?? defaults.startIntervalMs,
    retries: Retries || defaults.retries,
  };
}

function commandOf({ Healthcheck, Shell }: Pick<ContainerConfig, "Healthcheck" | "Shell">): string[] | undefined {
  const [kind, ...words] = Healthcheck?.Test ?? [];
  if (kind === "CMD") return words;
  if (kind === "CMD-SHELL") return [...(Shell?.length ? Shell : shellDefault), ...words];
  return undefined;
}

function milliseconds(nanoseconds: number | undefined): number | undefined {
  return nanoseconds ? nanoseconds / 1e6 : undefined;
}
