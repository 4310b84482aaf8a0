import { EngineError } from "../core/errors.ts";

/**
 * The values of a filter that Docker takes for regular expressions, which may lie anywhere in a name.
 * @throws EngineError invalid_argument for one that is none.
 */
export function namePatterns(filter: string, values: readonly string[]): RegExp[] {
  return values.map((value) => {
    try {
      return new RegExp(value);
    } catch (error) {
      throw new EngineError("invalid_argument", `invalid filter '${filter}=${value}'`, { cause: error });
    }
  });
}
