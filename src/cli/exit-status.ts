import { type EngineError, isEngineError } from "../core/errors.ts";

/** The engine failed, as opposed to the container: docker run's own status. */
export const engineFailed = 125;
const commandNotExecutable = 126;
const commandNotFound = 127;

/** The one table from error codes to the exit statuses of run, exec and start (docker run's documentation, "Exit status"). */
export function runExitStatus(error: unknown): number {
  if (!isEngineError(error)) return engineFailed;
  return statusOf(error);
}

function statusOf(error: EngineError): number {
  switch (error.code) {
    case "command_not_found":
      return commandNotFound;
    case "command_not_executable":
      return commandNotExecutable;
    default:
      return engineFailed;
  }
}
