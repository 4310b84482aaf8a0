import { EngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { LogWriter } from "../logging/log-writer.ts";
import type { ShimContainer } from "./protocol.ts";

/** Opens what keeps the container's output; only the driver that is asked for is loaded. @throws EngineError. */
export async function openLog(container: ShimContainer): Promise<LogWriter | undefined> {
  const target = container.log;
  switch (target.driver) {
    case "none":
      return undefined;
    case "json-file": {
      const { JsonFileLog } = await import("../logging/json-file.ts");
      const { path, maxSizeBytes, maxFiles } = target;
      return new JsonFileLog({
        path,
        ...(maxSizeBytes !== undefined && { maxSizeBytes }),
        ...(maxFiles !== undefined && { maxFiles }),
        onTrouble: (message) => log("error", message, { container: container.id }),
      });
    }
    default:
      throw new EngineError("unsupported", `log driver ${(target as { driver: string }).driver}`);
  }
}
