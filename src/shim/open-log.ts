import { EngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { LogTarget } from "../logging/log-target.ts";
import type { LogWriter } from "../logging/log-writer.ts";
import type { ShimContainer } from "./protocol.ts";

/** Opens what keeps the container's output; only the driver that is asked for is loaded. @throws EngineError. */
export async function openLog(container: ShimContainer): Promise<LogWriter | undefined> {
  const onTrouble = (message: string) => log("error", message, { container: container.id });
  const target: LogTarget = container.log;
  switch (target.driver) {
    case "none":
      return undefined;
    case "json-file": {
      const { JsonFileLog } = await import("../logging/json-file.ts");
      return new JsonFileLog({ ...target, onTrouble });
    }
    case "local": {
      const { LocalLog } = await import("../logging/local-log.ts");
      return new LocalLog({ ...target, onTrouble });
    }
    default:
      throw new EngineError("unsupported", `log driver ${target.driver}`);
  }
}
