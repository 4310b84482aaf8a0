/** What an error is over HTTP: the one table from codes to statuses, and the body. */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { advice } from "../core/advice.ts";
import { EngineError, type ErrorCode, errorMessage, isEngineError, wrapError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { ErrorBody } from "./schema/error.ts";
import { type ApiContext, requestName } from "./transport.ts";

/** Docker's daemon has no status for a full disk or a deadline: clients that switch on it know 500. */
const statuses: Record<ErrorCode, number> = {
  invalid_argument: 400,
  not_found: 404,
  already_exists: 409,
  conflict: 409,
  not_modified: 304,
  unauthorized: 401,
  forbidden: 403,
  unavailable: 503,
  unsupported: 501,
  corrupt: 500,
  no_space: 500,
  cancelled: 500,
  timeout: 500,
  // The docker client takes 126 and 127 from the words of a 400 to a start.
  command_not_found: 400,
  command_not_executable: 400,
  internal: 500,
};

export function httpStatus(error: unknown): number {
  return isEngineError(error) ? statuses[error.code] : 500;
}

/** Docker's `message` and tsd's own fields; those that are unknown are left out. */
export function errorBody(error: unknown): ErrorBody {
  const known = isEngineError(error) ? error : wrapError(error, "internal error");
  const { code, stage, syscall, errno, path } = known;
  const hint = known.hint ?? (code === "no_space" ? advice.diskFull : undefined);
  return {
    message: known.message,
    code,
    ...(stage !== undefined && { stage }),
    ...(syscall !== undefined && { syscall }),
    ...(errno !== undefined && { errno }),
    ...(path !== undefined && { path }),
    ...(hint !== undefined && { hint }),
  };
}

/** The answer to a request that failed. An error that is not the engine's own is a defect: its stack is logged. */
export function failed(c: ApiContext, error: unknown): Response {
  const status = httpStatus(error);
  if (status === 304) return c.body(null, status);
  logFailure(error, requestName(c));
  return c.body(`${JSON.stringify(errorBody(error))}\n`, status as ContentfulStatusCode, {
    "content-type": "application/json",
  });
}

export function logFailure(error: unknown, request: string): void {
  const defect = !isEngineError(error) || error.code === "internal";
  const fields = { request, error: errorMessage(error) };
  if (defect) log("error", "request failed", { ...fields, stack: error instanceof Error ? error.stack : undefined });
  else log("debug", "request refused", { ...fields, code: error.code });
}

export function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "request" });
}
