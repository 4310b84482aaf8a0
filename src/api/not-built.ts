import { EngineError } from "../core/errors.ts";

/** 501 for a part of Docker's API that tsd does not have. */
export function notBuilt(what: string): EngineError {
  return new EngineError("unsupported", `${what} is not built into this version of tsd`, { stage: "request" });
}
