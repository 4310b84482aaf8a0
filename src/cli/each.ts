import { isEngineError } from "../core/errors.ts";
import { printFailure, printLine } from "./output.ts";

/**
 * Does one thing to each of several objects, as `stop a b c` does: a failure is printed and does not keep the
 * others from their turn. That it is so already (stop of a stopped container) is no failure, as with docker.
 * @param act returns the line to print for an object; undefined prints its name as it was given.
 * @returns exit status 1 when any failed.
 */
export async function forEach(names: string[], act: (name: string) => Promise<string | undefined>): Promise<number> {
  let status = 0;
  for (const name of names) {
    try {
      const line = (await act(name)) ?? name;
      if (line !== "") printLine(line);
    } catch (error) {
      if (isEngineError(error, "not_modified")) {
        printLine(name);
        continue;
      }
      if (!isEngineError(error)) throw error;
      printFailure(error);
      status = 1;
    }
  }
  return status;
}
