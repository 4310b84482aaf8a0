import { type EngineError, isEngineError } from "../core/errors.ts";
import { type Found, ObjectFormatter, wrongTemplate } from "./format.ts";
import { print, printError, printFailure } from "./output.ts";
import { TemplateError } from "./template/error.ts";

/**
 * Prints what was found even when some were not, or do not fit the template; the status tells.
 * @returns the exit status.
 */
export async function inspectAll(
  names: string[],
  format: string,
  find: (name: string) => Found | Promise<Found>,
): Promise<number> {
  const formatter = formatterOf(format);
  if (formatter === undefined) return wrongTemplate;
  const failures: EngineError[] = [];
  for (const name of names) {
    try {
      formatter.add(await find(name));
    } catch (error) {
      if (!isEngineError(error)) throw error;
      failures.push(error);
    }
  }
  print(formatter.text());
  for (const failure of failures) printFailure(failure);
  return failures.length === 0 ? 0 : 1;
}

function formatterOf(format: string): ObjectFormatter | undefined {
  try {
    return new ObjectFormatter(format);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    printError(error.message);
    return undefined;
  }
}
