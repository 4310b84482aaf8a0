import { readFileSync, realpathSync } from "../../ffi/fs.ts";
import { join } from "../../ffi/path.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "../oci/runtime.ts";

export interface Bundle {
  /** Absolute. */
  path: string;
  config: RuntimeConfig;
}

/**
 * Reads and checks a bundle's config.json.
 * @throws EngineError not_found for a missing directory or file, invalid_argument with the path of a wrong field.
 */
export function readBundle(directory: string): Bundle {
  const path = existing(directory, "no such directory", () => realpathSync(directory || "."));
  const file = join(path, "config.json");
  const json = existing(file, "no such file: the bundle has no configuration", () => readFileSync(file, "utf8"));
  return { path, config: parseRuntimeConfig(json, file) };
}

function existing<T>(path: string, reason: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw new EngineError("not_found", `bundle: ${path}: ${reason}`, { path, cause: error });
  }
}
