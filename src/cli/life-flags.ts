/** What the flags of `run` and `create` say about a container's life: its restarts, its health check, its log. */
import type { HealthConfig, LogConfig, RestartPolicy } from "../api/schema/container-config.ts";
import type { ContainerFlagValues } from "./container-flags.ts";
import { keyValues, UsageError } from "./flags.ts";

/** `on-failure:3`. @throws UsageError in docker's words. */
export function restartPolicy(text: string): RestartPolicy {
  if (text === "") return {};
  const colon = text.indexOf(":");
  const Name = colon < 0 ? text : text.slice(0, colon);
  const count = colon < 0 ? "" : text.slice(colon + 1);
  const invalid = (reason: string) => new UsageError(`invalid restart policy format: ${reason}`);
  if (Name === "") throw invalid("no policy provided before colon");
  if (count === "") return { Name, MaximumRetryCount: 0 };
  if (!/^[+-]?\d+$/.test(count)) throw invalid("maximum retry count must be an integer");
  return { Name, MaximumRetryCount: Number(count) };
}

/** Undefined where nothing is said. @throws UsageError in docker's words. */
export function healthcheck(flags: ContainerFlagValues): HealthConfig | undefined {
  const numbers = {
    Interval: flags["health-interval"],
    Timeout: flags["health-timeout"],
    StartPeriod: flags["health-start-period"],
    StartInterval: flags["health-start-interval"],
    Retries: flags["health-retries"],
  };
  const texts = {
    HTTP: flags["health-http"],
    TCP: flags["health-tcp"],
    OnFailure: flags["health-on-failure"],
  };
  const isAsked =
    [flags["health-cmd"], ...Object.values(texts)].some((text) => text !== "") ||
    Object.values(numbers).some((value) => value !== 0);
  if (flags["no-healthcheck"]) {
    if (isAsked) throw new UsageError("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!isAsked) return undefined;
  for (const name of [
    "health-interval",
    "health-timeout",
    "health-retries",
    "health-start-period",
    "health-start-interval",
  ] as const) {
    if (flags[name] < 0) throw new UsageError(`--${name} cannot be negative`);
  }
  const given = Object.entries(numbers).filter(([, value]) => value !== 0);
  return {
    ...(flags["health-cmd"] !== "" && { Test: ["CMD-SHELL", flags["health-cmd"]] }),
    ...Object.fromEntries(given),
    ...Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== "")),
  };
}

/** @throws UsageError in docker's words. */
export function logConfig(driver: string, options: string[]): LogConfig {
  if (driver === "none" && options.length > 0) throw new UsageError("invalid logging opts for driver none");
  return { Type: driver, Config: keyValues(options, "log-opt") };
}
