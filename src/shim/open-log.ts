import { log } from "../core/log.ts";
import type { JournaldTarget, LogFiles, LogTarget, SyslogTarget } from "../logging/log-target.ts";
import type { LogWriter } from "../logging/log-writer.ts";
import type { ShimContainer } from "./protocol.ts";

type Trouble = (message: string) => void;

/** Opens what keeps the container's output; only the driver that is asked for is loaded. @throws EngineError. */
export async function openLog(container: ShimContainer): Promise<LogWriter | undefined> {
  const onTrouble = (message: string) => log("error", message, { container: container.id });
  const target: LogTarget = container.log;
  switch (target.driver) {
    case "none":
      return undefined;
    case "json-file":
      return openJsonFile(target, onTrouble);
    case "local":
      return openLocal(target, target.bufferBytes, onTrouble);
    default:
      return openRemote(target, onTrouble);
  }
}

async function openJsonFile(
  { bufferBytes, ...target }: Extract<LogTarget, { driver: "json-file" }>,
  onTrouble: Trouble,
): Promise<LogWriter> {
  const { JsonFileLog } = await import("../logging/json-file.ts");
  if (bufferBytes === undefined) return new JsonFileLog({ ...target, onTrouble });
  const { BehindLog } = await import("../logging/behind-log.ts");
  return new BehindLog(new JsonFileLog({ ...target, deferred: true, onTrouble }), bufferBytes);
}

async function openLocal(
  files: LogFiles & { attributes?: Record<string, string> },
  bufferBytes: number | undefined,
  onTrouble: Trouble,
): Promise<LogWriter> {
  const { LocalLog } = await import("../logging/local-log.ts");
  if (bufferBytes === undefined) return new LocalLog({ ...files, onTrouble });
  const { BehindLog } = await import("../logging/behind-log.ts");
  return new BehindLog(new LocalLog({ ...files, deferred: true, onTrouble }), bufferBytes);
}

async function openRemote(target: JournaldTarget | SyslogTarget, onTrouble: Trouble): Promise<LogWriter> {
  const remote = await connectRemote(target, onTrouble);
  if (target.cache === undefined) return remote;
  try {
    const copy = await openLocal(target.cache, target.bufferBytes, onTrouble);
    const { CopiedLog } = await import("../logging/copied-log.ts");
    return new CopiedLog(remote, copy);
  } catch (error) {
    await remote.close();
    throw error;
  }
}

async function connectRemote(target: JournaldTarget | SyslogTarget, onTrouble: Trouble): Promise<LogWriter> {
  if (target.driver === "journald") {
    const { openJournald } = await import("../logging/journald.ts");
    return openJournald(target, onTrouble);
  }
  const { openSyslog } = await import("../logging/syslog.ts");
  return openSyslog(target, onTrouble);
}
