import { EngineError } from "../core/errors.ts";
import { notManager } from "./schema/swarm.ts";

export const swarmHint: string = "tsd has no swarm mode: run containers on each host, or a project with compose";

/** 501 for a part of Docker's API that tsd does not have. */
export function notBuilt(what: string): EngineError {
  return new EngineError("unsupported", `${what} is not built into this version of tsd`, { stage: "request" });
}

/** 503 for what only a swarm could do. @param message Docker's words, where it has others for that. */
export function noSwarm(message: string = notManager): EngineError {
  return new EngineError("unavailable", message, { hint: swarmHint });
}

/** 501 for what installs plugins that a daemon runs itself. */
export function noManagedPlugins(): EngineError {
  return new EngineError("unsupported", "tsd has no managed plugins", {
    stage: "request",
    hint: "run the plugin as a program or a container: tsd finds volume and authorization plugins by their sockets",
  });
}
