/** A confined child's failure as the message that it ends with. */
import { type ErrorCode, isEngineError, isErrno, wrapError } from "../../core/errors.ts";

export interface ChildError {
  kind: "error";
  code: ErrorCode;
  message: string;
  details: Record<string, string>;
}

/** What the parent believes of a child's error; everything else is "internal". */
const codes = ["invalid_argument", "unsupported", "corrupt", "no_space", "not_found", "forbidden"];

export function childError(stage: string, error: unknown): ChildError {
  const engineError = isEngineError(error) ? error : wrapError(error, stage, { stage });
  const { syscall, errno, path, hint } = engineError;
  const given = { stage: engineError.stage, syscall, errno, path, hint };
  const details = Object.entries(given).filter(([, value]) => value !== undefined);
  const code = isErrno(error, "ENOSPC", "EDQUOT") ? "no_space" : engineError.code;
  return {
    kind: "error",
    code: codes.includes(code) ? code : "internal",
    message: engineError.message,
    details: Object.fromEntries(details) as Record<string, string>,
  };
}
