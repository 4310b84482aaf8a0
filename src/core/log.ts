import { writeSync } from "node:fs";

/** The daemon's and the shims' own log: one line an event on standard error, in Docker's logfmt style. */
export const logLevels = ["debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Record<string, string | number | boolean | undefined>;

let threshold = logLevels.indexOf("info");

export function setLogLevel(level: LogLevel): void {
  threshold = logLevels.indexOf(level);
}

export function log(level: LogLevel, message: string, fields: LogFields = {}): void {
  if (logLevels.indexOf(level) < threshold) return;
  let line = `time="${new Date().toISOString()}" level=${level} msg=${JSON.stringify(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${typeof value === "string" ? quoteField(value) : value}`;
  }
  try {
    // Not process.stderr: that is a stream object whose errors would have to be caught elsewhere, and 0.9 MB in a shim.
    writeSync(2, `${line}\n`);
  } catch {
    // Standard error is on a full disk, or nobody reads it any more: there is nowhere to say so.
  }
}

function quoteField(value: string): string {
  return /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value);
}
