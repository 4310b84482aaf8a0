/** A container's health check: judged, and joined with its image's, as Docker does. */
import type { HealthConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import type { ImageHealthcheck } from "../../oci/image.ts";

/** Docker's shortest: one millisecond. */
const nanosecondsMin = 1e6;
const durations = ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const;

/** @throws EngineError invalid_argument in docker's words. */
export function checkHealthcheck(check: HealthConfig | undefined): void {
  for (const field of durations) {
    const value = check?.[field] ?? 0;
    if (value !== 0 && value < nanosecondsMin) throw invalid(`${field} in Healthcheck cannot be less than 1ms`);
  }
  if ((check?.Retries ?? 0) < 0) throw invalid("Retries in Healthcheck cannot be negative");
}

/** What the request says, and for what it leaves open what the image says; undefined where neither says anything. */
export function mergeHealthcheck(
  request: HealthConfig | undefined,
  image: ImageHealthcheck | null | undefined,
): HealthConfig | undefined {
  const merged: HealthConfig = {};
  const test = request?.Test?.length ? request.Test : image?.Test;
  if (test) merged.Test = test;
  for (const field of [...durations, "Retries"] as const) {
    const value = request?.[field] || image?.[field];
    if (value) merged[field] = value;
  }
  return request === undefined && Object.keys(merged).length === 0 ? undefined : merged;
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
