import { isTerminal } from "../../ffi/pty.ts";
import type { JsonMessage, ProgressDetail } from "../api/schema/progress.ts";
import { EngineError } from "../core/errors.ts";
import { formatBytesDecimal } from "../core/size.ts";
import { terminalColumns, writeAll } from "./output.ts";

/** Where a display writes: standard output for `pull`, standard error for the pull that `run` does. */
export interface ProgressOutput {
  write(text: string): void;
  /** A terminal gets a line a layer, redrawn in place; anything else plain lines, none for mere progress. */
  isTerminal: boolean;
  columns: number;
}

/** Progress on standard output or standard error, or nowhere. What kind of thing that is, is looked at when it is used. */
export function progressOn(descriptor: 1 | 2, quiet: boolean): ProgressOutput {
  return {
    get isTerminal() {
      return isTerminal(descriptor);
    },
    get columns() {
      return terminalColumns(descriptor);
    },
    write: (text) => (quiet ? undefined : writeAll(descriptor, text)),
  };
}

/** Shows docker's progress messages as they come. */
export class ProgressDisplay {
  readonly #output: ProgressOutput;
  /** Layer to its line, counted from the first line of the block. */
  readonly #lines = new Map<string, number>();
  readonly #shown = new Map<string, string>();

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  /** @throws EngineError for the message that ends a failed stream. */
  show(message: JsonMessage): void {
    if (message.errorDetail !== undefined || message.error !== undefined) {
      throw new EngineError("internal", message.errorDetail?.message ?? message.error ?? "unknown error");
    }
    if (message.stream !== undefined) this.#output.write(message.stream);
    else if (message.status === undefined) return;
    else if (message.id === undefined || !this.#output.isTerminal) this.#plain(message);
    else this.#redraw(message);
  }

  #plain({ id, status, progressDetail }: JsonMessage): void {
    if (!this.#output.isTerminal && progressDetail?.current !== undefined) return;
    // A line outside the block ends it: layers that follow begin a new one below.
    this.#lines.clear();
    this.#shown.clear();
    this.#output.write(id === undefined ? `${status}\n` : `${id}: ${status}\n`);
  }

  #redraw({ id, status, progressDetail }: JsonMessage): void {
    const text = `${id}: ${status}${progressDetail === undefined ? "" : progressBar(progressDetail, this.#output.columns)}`;
    if (this.#shown.get(id!) === text) return;
    this.#shown.set(id!, text);
    const line = this.#lines.get(id!);
    if (line === undefined) {
      this.#lines.set(id!, this.#lines.size);
      this.#output.write(`${text}\n`);
      return;
    }
    const up = this.#lines.size - line;
    this.#output.write(`\x1b[${up}A\x1b[2K\r${text}\r\x1b[${up}B`);
  }
}

/** `[=====>     ]  1.2MB/3.4MB`, or the amount alone where the total is not known or the terminal is narrow. */
export function progressBar({ current = 0, total = 0 }: ProgressDetail, columns: number): string {
  if (current <= 0 && total <= 0) return "";
  if (total <= 0 || current > total) return ` ${formatBytesDecimal(current).padStart(8)}`;
  const numbers = `${formatBytesDecimal(current).padStart(8)}/${formatBytesDecimal(total)}`;
  if (columns <= 110) return ` ${numbers}`;
  const width = 50;
  const done = Math.min(width - 1, Math.floor((current / total) * width));
  const bar = current === total ? "=".repeat(width) : `${"=".repeat(done)}>`.padEnd(width);
  return ` [${bar}]  ${numbers}`;
}
