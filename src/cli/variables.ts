/** Variables and labels from flags and from files: `--env`, `--env-file`, `--label-file`. */
import { readFileSync } from "node:fs";
import { callerVariable } from "../core/environment.ts";
import { EngineError, errorMessage } from "../core/errors.ts";

/**
 * Variables of the files, then those of the flags. A name without `=` takes the value it has here, and is left
 * out when it has none.
 */
export function environment(files: string[], flags: string[]): string[] {
  const fromFiles = files.flatMap((path) => readLines(path, "env-file"));
  return [...fromFiles, ...flags].flatMap((variable) => {
    if (variable.startsWith("=")) {
      throw new EngineError("invalid_argument", `invalid environment variable: ${variable}`);
    }
    if (variable.includes("=")) return [variable];
    const value = callerVariable(variable);
    return value === undefined ? [] : [`${variable}=${value}`];
  });
}

/** Lines of a file of variables: comments and empty lines dropped, leading blanks too. */
export function readLines(path: string, flag: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new EngineError("invalid_argument", `--${flag}: ${errorMessage(error)}`, { path, cause: error });
  }
  const lines = text.split("\n").map((line) => line.replace(/\r$/, "").replace(/^\s+/, ""));
  return lines.flatMap((line, index) => {
    if (line === "" || line.startsWith("#")) return [];
    const name = line.split("=", 1)[0]!;
    if (name === "" || /\s/.test(name)) {
      throw new EngineError(
        "invalid_argument",
        `--${flag} ${path}, line ${index + 1}: variable '${name}' contains whitespaces or is empty`,
        { path },
      );
    }
    return [line];
  });
}
