/** The body of every answer that is an error: Docker's `message` beside tsd's own fields. Types only. */
import type { ErrorCode } from "../../core/errors.ts";

export interface ErrorBody {
  message: string;
  code?: ErrorCode;
  stage?: string;
  syscall?: string;
  errno?: string;
  path?: string;
  hint?: string;
}
