/** Why criu failed, in its own words. */
import { readTextIfThere } from "../../../ffi/fs.ts";
import { EngineError, wrapError } from "../../core/errors.ts";
import type { CriuAnswer } from "./program.ts";

/** Lines of the log that are told before and after the error. */
const linesTold = 6;

/**
 * The error of a request that failed, with criu's own error in it. `warn` hears the lines of its log that lead to it.
 * @param what was to be done: `checkpoint of container c1`.
 * @param logPath where criu was told to write its log.
 */
export function criuFailure(
  what: string,
  answer: CriuAnswer,
  logPath: string,
  warn: (message: string) => void = () => undefined,
): EngineError {
  if (answer.problem !== undefined) return wrapError(answer.problem, what);
  const log = (readTextIfThere(logPath) ?? "").trimEnd().split("\n");
  const last = log.findLastIndex(isError);
  // What the others say comes of the first one.
  const first = log.findIndex(isError);
  if (last >= 0) for (const line of log.slice(Math.max(0, last - linesTold + 1), last + 1)) warn(`${logPath}: ${line}`);
  const printed = answer.output.split("\n").filter(isError);
  const reason =
    (first >= 0 ? withoutTime(log[first]!) : undefined) ||
    printed.join("; ") ||
    answer.response?.error ||
    answer.output ||
    ending(answer);
  const where = first >= 0 ? `; its log is ${logPath}` : "";
  return new EngineError("internal", `${what}: criu failed: ${reason}${where}`, { path: logPath, stage: "criu" });
}

function isError(line: string): boolean {
  return /\bError \(/.test(line);
}

function withoutTime(line: string): string {
  return line.replace(/^\(\d+\.\d+\)\s*/, "").trim();
}

function ending({ response, exitCode, signal }: CriuAnswer): string {
  const how = signal === null ? `exit status ${exitCode}` : `killed by ${signal}`;
  return response?.errno === undefined ? `no answer, ${how}` : `error ${response.errno}, ${how}`;
}
