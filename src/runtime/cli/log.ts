import { appendFileSync } from "../../../ffi/fs.ts";

export type LogFormat = "text" | "json";

export function isLogFormat(name: string): name is LogFormat {
  return name === "text" || name === "json";
}

export type LogLevel = "debug" | "info" | "warning" | "error";

interface LogOptions {
  /** `--log`; without it the log is standard error. */
  path?: string;
  format: LogFormat;
  debug: boolean;
}

/**
 * The runtime's log in the two shapes that callers parse: logrus' text and JSON. containerd and podman run the
 * runtime with `--log FILE --log-format json` and show the last error's `msg` to people.
 */
export class RuntimeLog {
  readonly #options: LogOptions;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  /** For what says much where somebody wants to know: no `debug` without `--debug`. */
  get hears(): { warn: (message: string) => void; debug?: (message: string) => void } {
    const warn = (message: string) => this.warn(message);
    return this.#options.debug ? { warn, debug: (message) => this.debug(message) } : { warn };
  }

  debug(message: string): void {
    if (this.#options.debug) this.#write("debug", message);
  }

  warn(message: string): void {
    this.#write("warning", message);
  }

  /** The error that ends the command: in the log, and bare on standard error when the log is elsewhere. */
  fatal(message: string): void {
    this.#write("error", message);
    if (this.#options.path !== undefined) process.stderr.write(`${message}\n`);
  }

  #write(level: LogLevel, message: string): void {
    // RFC 3339 in whole seconds.
    const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const line =
      this.#options.format === "json"
        ? JSON.stringify({ level, msg: message, time })
        : `time="${time}" level=${level} msg=${JSON.stringify(message)}`;
    if (this.#options.path === undefined) process.stderr.write(`${line}\n`);
    else appendFileSync(this.#options.path, `${line}\n`, { mode: 0o644 });
  }
}
