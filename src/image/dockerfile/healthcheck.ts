/** HEALTHCHECK: `NONE`, or `[--interval=30s …] CMD command`. */
import { EngineError } from "../../core/errors.ts";
import { parseGoDuration } from "../../core/go-duration.ts";
import type { ImageHealthcheck } from "../../oci/image.ts";
import { type InstructionLine, jsonStrings, requireArgument } from "./instruction-lines.ts";

const durations: Record<string, "Interval" | "Timeout" | "StartPeriod" | "StartInterval"> = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};
/** Docker's shortest, in nanoseconds. */
const durationMin = 1_000_000;

/** @throws EngineError invalid_argument in docker's words. */
export function parseHealthcheck(line: InstructionLine): ImageHealthcheck {
  let rest = requireArgument(line);
  const check: ImageHealthcheck = {};
  const given: string[] = [];
  for (let flag = /^--([a-z-]+)=(\S+)\s*/.exec(rest); flag; flag = /^--([a-z-]+)=(\S+)\s*/.exec(rest)) {
    setFlag(check, flag[1]!, flag[2]!);
    given.push(flag[1]!);
    rest = rest.slice(flag[0].length);
  }
  const [, type = "", command = ""] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  if (type.toUpperCase() === "NONE") {
    if (command !== "") throw new EngineError("invalid_argument", "HEALTHCHECK NONE takes no arguments");
    if (given.length > 0) throw new EngineError("invalid_argument", "HEALTHCHECK NONE takes no options");
    return { Test: ["NONE"] };
  }
  if (type.toUpperCase() !== "CMD") {
    throw new EngineError(
      "invalid_argument",
      `Unknown type ${JSON.stringify(type.toUpperCase())} in HEALTHCHECK (try CMD)`,
    );
  }
  if (command === "") throw new EngineError("invalid_argument", "Missing command after HEALTHCHECK CMD");
  const list = jsonStrings(command);
  return { Test: list ? ["CMD", ...list] : ["CMD-SHELL", command], ...check };
}

function setFlag(check: ImageHealthcheck, name: string, value: string): void {
  if (name === "retries") {
    const retries = Number(value);
    if (!/^\d+$/.test(value) || retries < 1) {
      throw new EngineError("invalid_argument", `--retries must be at least 1 (not ${value})`);
    }
    check.Retries = retries;
    return;
  }
  const field = durations[name];
  if (field === undefined) throw new EngineError("invalid_argument", `Unknown flag: ${name}`);
  const milliseconds = parseGoDuration(value);
  if (milliseconds === undefined) {
    throw new EngineError("invalid_argument", `time: invalid duration ${JSON.stringify(value)}`);
  }
  const nanoseconds = Math.round(milliseconds * 1e6);
  if (nanoseconds !== 0 && nanoseconds < durationMin) {
    throw new EngineError("invalid_argument", `Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  }
  check[field] = nanoseconds;
}
