/** HostConfig.SecurityOpt: `name=value`, or `name:value` as in old clients. */

import { EngineError } from "../core/errors.ts";
import { parseGoBool } from "../core/go-bool.ts";

export interface SecurityOptions {
  noNewPrivileges: boolean;
  /** A profile's name or "unconfined". */
  apparmor?: string;
  /** "unconfined", "builtin", or the text of a profile: the client has read the file. */
  seccomp?: string;
  /** SELinux: what `label=` said. */
  labels: string[];
  /** `systempaths=unconfined`: nothing of /proc and /sys is masked or read-only. */
  systemPathsUnconfined: boolean;
  /** The container may write to its own cgroup. */
  writableCgroups: boolean;
}

/** @throws EngineError invalid_argument in docker's words. */
export function parseSecurityOptions(options: readonly string[]): SecurityOptions {
  const result: SecurityOptions = {
    noNewPrivileges: false,
    labels: [],
    systemPathsUnconfined: false,
    writableCgroups: false,
  };
  for (const option of options) {
    if (option === "no-new-privileges") {
      result.noNewPrivileges = true;
      continue;
    }
    if (option === "disable") {
      result.labels.push(option);
      continue;
    }
    const separator = option.includes("=") ? option.indexOf("=") : option.indexOf(":");
    if (separator < 0) throw invalid(option, 1);
    const value = option.slice(separator + 1);
    switch (option.slice(0, separator)) {
      case "label":
        result.labels.push(value);
        break;
      case "apparmor":
        result.apparmor = value;
        break;
      case "seccomp":
        result.seccomp = value;
        break;
      case "no-new-privileges":
        result.noNewPrivileges = parseBoolean(value, option);
        break;
      case "writable-cgroups":
        result.writableCgroups = parseBoolean(value, option);
        break;
      case "systempaths":
        if (value !== "unconfined") throw invalid(option);
        result.systemPathsUnconfined = true;
        break;
      default:
        throw invalid(option);
    }
  }
  return result;
}

function parseBoolean(value: string, option: string): boolean {
  const boolean = parseGoBool(value);
  if (boolean === undefined) throw invalid(option);
  return boolean;
}

/** Docker numbers the places where it says so: 1 where there is no value, 2 where name or value are wrong. */
function invalid(option: string, place: 1 | 2 = 2): EngineError {
  return new EngineError("invalid_argument", `invalid --security-opt ${place}: "${option}"`);
}
