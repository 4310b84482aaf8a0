/** A container's health check: judged, and joined with its image's, as Docker does. */
import type { ContainerConfig, HealthConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import type { ImageHealthcheck } from "../../oci/image.ts";
import { failureActions, healthPlan, isFailureAction } from "../health/plan.ts";
import { parseHttpTarget, parseTcpTarget } from "../health/target.ts";

/** Docker's shortest: one millisecond. */
const nanosecondsMin = 1e6;
const kinds = ["Test", "HTTP", "TCP"] as const;
const shownActions = failureActions.map((action) => `'${action}'`).join(", ");
const durations = ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const;

/** @throws EngineError invalid_argument in docker's words. */
export function checkHealthcheck(check: HealthConfig | undefined): void {
  for (const field of durations) {
    const value = check?.[field] ?? 0;
    if (value !== 0 && value < nanosecondsMin) throw invalid(`${field} in Healthcheck cannot be less than 1ms`);
  }
  if ((check?.Retries ?? 0) < 0) throw invalid("Retries in Healthcheck cannot be negative");
  const asked = kinds.filter((kind) => check?.[kind]?.length);
  if (asked.length > 1) throw invalid(`${asked.join(" and ")} in Healthcheck: there can be one of them`);
  const { HTTP, TCP, OnFailure } = check ?? {};
  if (HTTP) parseHttpTarget(HTTP);
  if (TCP) parseTcpTarget(TCP);
  if (OnFailure && !isFailureAction(OnFailure)) {
    throw invalid(`OnFailure in Healthcheck: invalid action ${JSON.stringify(OnFailure)}; use one of ${shownActions}`);
  }
}

/** What the request says, and for what it leaves open what the image says; undefined where neither says anything. */
export function mergeHealthcheck(
  request: HealthConfig | undefined,
  image: ImageHealthcheck | null | undefined,
): HealthConfig | undefined {
  const merged: HealthConfig = {};
  // How it is asked is one thing, whichever of the three says it.
  const { Test, HTTP, TCP } = kinds.some((kind) => request?.[kind]?.length) ? request! : (image ?? {});
  if (Test) merged.Test = Test;
  if (HTTP) merged.HTTP = HTTP;
  if (TCP) merged.TCP = TCP;
  for (const field of [...durations, "Retries"] as const) {
    const value = request?.[field] || image?.[field];
    if (value) merged[field] = value;
  }
  const OnFailure = request?.OnFailure || image?.OnFailure;
  if (OnFailure) merged.OnFailure = OnFailure;
  return request === undefined && Object.keys(merged).length === 0 ? undefined : merged;
}

/** Of a check that is merged. @throws EngineError invalid_argument for one of an image's that cannot be, or an action without a check. */
export function checkMergedHealthcheck(config: ContainerConfig): void {
  checkHealthcheck(config.Healthcheck);
  const { OnFailure = "none" } = config.Healthcheck ?? {};
  if (OnFailure === "none" || healthPlan(config) !== undefined) return;
  throw invalid(`OnFailure in Healthcheck: cannot ${OnFailure} a container that has no health check`);
}

/** Docker keeps such a check, and says nothing where it would be seen. */
export function healthWarnings(check: HealthConfig | undefined): string[] {
  const [kind = "NONE"] = check?.Test ?? [];
  if (["NONE", "CMD", "CMD-SHELL"].includes(kind)) return [];
  return [`Unknown healthcheck type '${kind}' (expected 'CMD', 'CMD-SHELL' or 'NONE'): the container has no health.`];
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create" });
}
