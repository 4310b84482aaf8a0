/** What a container's configuration asks to be probed, and how often: defaults filled in, nanoseconds made milliseconds. */
import type { ContainerConfig, HealthConfig } from "../../api/schema/container-config.ts";
import { type HttpTarget, parseHttpTarget, parseTcpTarget, type TcpTarget } from "./target.ts";

/** What is done to a container that has become unhealthy: podman's words. */
export const failureActions = ["none", "restart", "stop", "kill"] as const;

export type FailureAction = (typeof failureActions)[number];

export type ProbeKind =
  | { kind: "command"; command: string[] }
  | { kind: "http"; target: HttpTarget }
  | { kind: "tcp"; target: TcpTarget };

export interface HealthPlan {
  probe: ProbeKind;
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  startIntervalMs: number;
  retries: number;
  onFailure: FailureAction;
}

/** Docker's. */
const defaults = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, startIntervalMs: 5000, retries: 3 };
const shellDefault = ["/bin/sh", "-c"];

type ProbeConfig = Pick<ContainerConfig, "Healthcheck" | "Shell">;

/** @returns undefined for a container that is not probed. @throws EngineError invalid_argument for a target that is none. */
export function healthPlan(config: ProbeConfig): HealthPlan | undefined {
  const check = config.Healthcheck ?? {};
  const probe = probeOf(check, config.Shell);
  if (probe === undefined) return undefined;
  const { OnFailure = "none" } = check;
  return {
    probe,
    intervalMs: milliseconds(check.Interval) ?? defaults.intervalMs,
    timeoutMs: milliseconds(check.Timeout) ?? defaults.timeoutMs,
    startPeriodMs: milliseconds(check.StartPeriod) ?? defaults.startPeriodMs,
    startIntervalMs: milliseconds(check.StartInterval) ?? defaults.startIntervalMs,
    retries: check.Retries || defaults.retries,
    onFailure: isFailureAction(OnFailure) ? OnFailure : "none",
  };
}

export function isFailureAction(text: string): text is FailureAction {
  return (failureActions as readonly string[]).includes(text);
}

function probeOf({ Test = [], HTTP, TCP }: HealthConfig, shell: string[] | undefined): ProbeKind | undefined {
  if (HTTP) return { kind: "http", target: parseHttpTarget(HTTP) };
  if (TCP) return { kind: "tcp", target: parseTcpTarget(TCP) };
  const [kind, ...words] = Test;
  if (kind === "CMD") return { kind: "command", command: words };
  if (kind === "CMD-SHELL") return { kind: "command", command: [...(shell?.length ? shell : shellDefault), ...words] };
  return undefined;
}

function milliseconds(nanoseconds: number | undefined): number | undefined {
  return nanoseconds ? nanoseconds / 1e6 : undefined;
}
