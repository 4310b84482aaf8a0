/** An EngineError as it crosses a socket between processes of tsd, as JSON. */
import { EngineError, type ErrorCode } from "./errors.ts";

export interface WireError {
  code: ErrorCode;
  message: string;
  stage?: string;
  syscall?: string;
  errno?: string;
  path?: string;
  hint?: string;
}

export function errorToWire({ code, message, stage, syscall, errno, path, hint }: EngineError): WireError {
  return {
    code,
    message,
    ...(stage !== undefined && { stage }),
    ...(syscall !== undefined && { syscall }),
    ...(errno !== undefined && { errno }),
    ...(path !== undefined && { path }),
    ...(hint !== undefined && { hint }),
  };
}

export function errorFromWire({ code, message, ...details }: WireError): EngineError {
  return new EngineError(code, message, details);
}
