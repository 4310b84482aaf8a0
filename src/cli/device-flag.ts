/** `--device HOST[:CONTAINER][:rwm]` as docker's command line reads it. */
import type { DeviceMapping } from "../api/schema/container-config.ts";
import { EngineError } from "../core/errors.ts";

/** @throws EngineError invalid_argument in docker's words. */
export function deviceMapping(text: string): DeviceMapping {
  const parts = text.split(":");
  const [host = "", second, third] = parts;
  if (text === "" || parts.length > 3) throw invalid(`bad format for path: ${text}`);
  if (second === undefined) return checked(host, host, "rwm");
  if (third === undefined) return isMode(second) ? checked(host, host, second) : checked(host, second, "rwm");
  if (!isMode(third)) throw invalid(`bad mode specified: ${third}`);
  return checked(host, second, third);
}

function checked(host: string, container: string, mode: string): DeviceMapping {
  if (!container.startsWith("/")) throw invalid(`${container} is not an absolute path`);
  return { PathOnHost: host, PathInContainer: container, CgroupPermissions: mode };
}

/** Each letter once. */
function isMode(word: string): boolean {
  return /^[rwm]{1,3}$/.test(word) && new Set(word).size === word.length;
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
