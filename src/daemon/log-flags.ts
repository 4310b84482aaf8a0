/** The daemon's `--log-driver` and `--log-opt`: the log of containers that say nothing of theirs. */
import type { LogDefaults } from "../engine/container/log-target.ts";
import { checkLogOptions } from "../logging/log-options.ts";
import type { Flag } from "./flag.ts";

export const logFlags: Record<string, Flag> = {
  "log-driver": { value: "string", help: 'Log driver of containers that name none (default "json-file")' },
  "log-opt": {
    value: "list",
    help: "Option of that driver, NAME=VALUE: max-size=10m, max-file=3, mode=non-blocking, …",
  },
};

/** @param options `NAME=VALUE`, each. @throws Error with the reason for a wrong one. */
export function readLogDefaults(driver: string | undefined, options: readonly string[]): LogDefaults {
  const given: Record<string, string> = {};
  for (const option of options) {
    const separator = option.indexOf("=");
    if (separator <= 0) throw new Error(`--log-opt ${option}: write NAME=VALUE`);
    given[option.slice(0, separator)] = option.slice(separator + 1);
  }
  const defaults = { driver: driver || "json-file", options: given };
  checkLogOptions(defaults.driver, given);
  return defaults;
}
