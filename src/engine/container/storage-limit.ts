/** What a container may write, of `--storage-opt size=` and the daemon's own default. */
import type { HostConfig } from "../../api/schema/container-config.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { parseBytes } from "../../core/size.ts";
import type { EngineContext } from "../context.ts";

/**
 * @returns bytes; undefined: no limit.
 * @throws EngineError invalid_argument in docker's words for an option that is unknown, a size that is none, and a file
 * system that limits nothing.
 */
export function storageLimit(
  { snapshots, configuration }: Pick<EngineContext, "snapshots" | "configuration">,
  { StorageOpt }: HostConfig,
): number | undefined {
  const options = Object.entries(StorageOpt ?? {});
  if (options.length === 0) return configuration.containerBytes;
  const refusal = snapshots.whyNoLimit();
  if (refusal !== undefined) {
    throw invalid(
      `--storage-opt is supported only for overlay over xfs with 'pquota' mount option, or ext4 with 'prjquota': ${refusal.reason}`,
      refusal.hint,
    );
  }
  let size: number | undefined;
  for (const [name, value] of options) {
    if (name.toLowerCase() !== "size") throw invalid(`unknown option ${name}`, "the only storage option is size=SIZE");
    size = parseSize(value);
  }
  return size === 0 ? undefined : size;
}

function parseSize(text: string): number {
  try {
    return parseBytes(text);
  } catch (error) {
    throw invalid(`--storage-opt size=${text}: ${errorMessage(error)}`);
  }
}

function invalid(message: string, hint?: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create", ...(hint !== undefined && { hint }) });
}
