import { isEngineError } from "../../core/errors.ts";

/** For tests: the code and the message that work is refused with. */
export async function refusal(work: Promise<unknown>): Promise<[code: string, message: string]> {
  try {
    await work;
  } catch (error) {
    return isEngineError(error) ? [error.code, error.message] : ["not an EngineError", String(error)];
  }
  return ["no error", ""];
}
