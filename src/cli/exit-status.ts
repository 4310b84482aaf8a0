import type { EngineError } from "../core/errors.ts";

/** The engine failed, as opposed to the container: docker run's own status. */
export const engineFailed = 125;
const commandNotExecutable = 126;
const commandNotFound = 127;

/**
 * The one table from error codes to the exit statuses of run and exec (docker run's documentation, "Exit status").
 * @param otherwise the status of errors that have nothing to do with the container's program.
 */
export function runExitStatus(error: EngineError, otherwise: number): number {
  switch (error.code) {
    case "command_not_found":
      return commandNotFound;
    case "command_not_executable":
      return commandNotExecutable;
    default:
      return otherwise;
  }
}
