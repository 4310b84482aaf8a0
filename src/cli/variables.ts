/** Variables and labels from flags and from files: `--env`, `--env-file`, `--label-file`, as docker reads them. */
import { readFileSync } from "../../ffi/fs.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { callerVariable } from "./caller-variable.ts";
import { fileError } from "./file-error.ts";

/** `NAME=value`; a name alone takes the value that it has here. @throws Error in docker's words. */
export function variable(text: string): string {
  if (text === "" || text.startsWith("=")) throw new Error(`invalid environment variable: ${text}`);
  // Without a value it is sent, too: it takes away the image's.
  return text.includes("=") ? text : (valueHere(text) ?? text);
}

/**
 * Variables of the files, then those of the flags. A file's name without `=` takes the value it has here, and is left
 * out when it has none.
 */
export function environment(files: string[], flags: string[]): string[] {
  const fromFiles = files
    .flatMap(readLines)
    .flatMap((line) => (line.includes("=") ? [line] : [valueHere(line) ?? []].flat()));
  return [...fromFiles, ...flags];
}

function valueHere(name: string): string | undefined {
  const value = callerVariable(name);
  return value === undefined ? undefined : `${name}=${value}`;
}

/** Lines of a file of variables: comments and empty lines dropped, leading blanks too. @throws EngineError. */
export function readLines(path: string): string[] {
  const invalid = (reason: string) =>
    new EngineError("invalid_argument", `invalid env file (${path}): ${reason}`, { path });
  let content: Uint8Array;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw isErrno(error, "EISDIR")
      ? fileError("read", path, error, `invalid env file (${path}): `)
      : fileError("open", path, error);
  }
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return linesOf(content).flatMap((bytes, index) => {
    let line: string;
    try {
      line = decoder.decode(bytes);
    } catch {
      throw invalid(`invalid utf8 bytes at line ${index + 1}: [${[...bytes].join(" ")}]`);
    }
    if (index === 0) line = line.replace(/^\uFEFF/, "");
    line = line.replace(/^\s+/, "");
    if (line === "" || line.startsWith("#")) return [];
    const name = line.split("=", 1)[0]!;
    if (/\s/.test(name)) throw invalid(`variable '${name}' contains whitespaces`);
    if (name === "") throw invalid(`no variable name on line '${line}'`);
    return [line];
  });
}

/** Without their ends. */
function linesOf(content: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start < content.length; ) {
    const found = content.indexOf(0x0a, start);
    const end = found < 0 ? content.length : found;
    lines.push(content.subarray(start, content[end - 1] === 0x0d && end > start ? end - 1 : end));
    start = end + 1;
  }
  return lines;
}
