import { isDirectoryAt } from "../../ffi/fs.ts";
import { resolve } from "../../ffi/path.ts";
import { EngineError, wrapError } from "../core/errors.ts";
import type { OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import type { OverlayMount } from "./options.ts";

/** What a configuration must have beyond its schema for a container to be made of it. */
export interface CheckedConfig {
  process: OciProcess;
  /** Absolute. */
  rootfs: string;
}

/** @throws EngineError invalid_argument or not_found, naming the field. */
export function checkConfig(config: RuntimeConfig, bundle: string, rootfsMount?: OverlayMount): CheckedConfig {
  const { process, root } = config;
  if (process === undefined) throw wrong("process: missing: there is nothing to run");
  if (root === undefined) throw wrong("root: missing");
  const rootfs = resolve(bundle, root.path);
  if (rootfsMount === undefined && !isDirectory(rootfs)) {
    throw new EngineError("not_found", `invalid rootfs: ${rootfs}: no such directory`, { path: rootfs });
  }
  checkArguments(process);
  return { process, rootfs };
}

function isDirectory(path: string): boolean {
  try {
    return isDirectoryAt(path);
  } catch (error) {
    throw wrapError(error, "invalid rootfs: root.path");
  }
}

/** @throws EngineError invalid_argument. */
export function checkArguments(process: OciProcess): void {
  if (!process.args?.length) throw wrong("process.args: must not be empty");
}

function wrong(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
