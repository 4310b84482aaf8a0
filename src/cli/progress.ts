import { isTerminal } from "../../ffi/pty.ts";
import type { JsonMessage, ProgressDetail } from "../api/schema/progress.ts";
import { EngineError } from "../core/errors.ts";
import { formatBytesDecimal } from "../core/size.ts";
import { terminalSize, writeAll } from "./output.ts";

/** Where a display writes: standard output for `pull`, standard error for the pull that `run` does. */
export interface ProgressOutput {
  write(text: string): void;
  /** A terminal gets a line a layer, redrawn in place; anything else plain lines, none for mere progress. */
  isTerminal: boolean;
  columns: number;
  rows: number;
}

/** Progress on standard output or standard error, or nowhere. What kind of thing that is, is looked at when it is used. */
export function progressOn(descriptor: 1 | 2, quiet: boolean): ProgressOutput {
  return {
    get isTerminal() {
      return isTerminal(descriptor);
    },
    get columns() {
      return terminalSize(descriptor).columns;
    },
    get rows() {
      return terminalSize(descriptor).rows;
    },
    write: (text) => (quiet ? undefined : writeAll(descriptor, text)),
  };
}

/** A layer's line. */
interface Line {
  id: string;
  status: string;
  detail: ProgressDetail;
  /** As it stands on the terminal. */
  shown: string;
}

/** Words after which nothing more is said of a layer. */
const lastWords = /^(?:Pull complete|Already exists|Pushed|Layer already exists|Mounted from |Loaded)/;

/** More often than this nobody sees a number change. */
const redrawMs = 50;

/** Shows docker's progress messages as they come. */
export class ProgressDisplay {
  readonly #output: ProgressOutput;
  /** The lines at the end of the terminal, which are redrawn in place; a Map keeps their order. */
  readonly #block = new Map<string, Line>();
  /** Layers whose line has scrolled out of the terminal's reach, with their last word. */
  readonly #gone = new Set<string>();
  /** How many lines of the block are on the terminal. */
  #drawn = 0;
  #drawnAt = 0;
  /** Every line of the block is on the terminal, and nothing else below the first of them. */
  #isWhole = true;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  /** @throws EngineError for the message that ends a failed stream. */
  show(message: JsonMessage): void {
    if (message.errorDetail !== undefined || message.error !== undefined) {
      const { code = "internal", ...details } = message.details ?? {};
      throw new EngineError(code, message.errorDetail?.message ?? message.error ?? "unknown error", details);
    }
    if (message.stream !== undefined) this.#output.write(message.stream);
    else if (message.status === undefined) return;
    else if (message.id === undefined || message.progressDetail === undefined || !this.#output.isTerminal) {
      this.#plain(message);
    } else this.#update(message.id, message.status, message.progressDetail);
  }

  #plain({ id, status, progressDetail }: JsonMessage): void {
    if (!this.#output.isTerminal && progressDetail !== undefined && progressText(progressDetail, 0) !== "") return;
    // A line outside the block ends it: layers that follow begin a new one below.
    this.#end();
    this.#output.write(id === undefined ? `${status}\n` : `${id}: ${status}\n`);
  }

  #end(): void {
    if (!this.#isWhole) this.#redraw(Number.POSITIVE_INFINITY);
    this.#block.clear();
    this.#gone.clear();
    this.#drawn = 0;
  }

  #update(id: string, status: string, detail: ProgressDetail): void {
    if (this.#gone.has(id)) return;
    const line = this.#block.get(id);
    const isNews = line === undefined || line.status !== status;
    if (line) Object.assign(line, { status, detail });
    else this.#block.set(id, { id, status, detail, shown: "" });
    const { rows } = this.#output;
    const fits = this.#block.size < rows;
    if (fits && this.#isWhole) this.#drawLine(this.#block.get(id)!);
    else if (fits || isNews || performance.now() - this.#drawnAt >= redrawMs) this.#redraw(rows);
  }

  /** All lines fit: one of them changes in its place, or is new at the end. */
  #drawLine(line: Line): void {
    const text = this.#text(line);
    if (text === line.shown) return;
    const isNew = line.shown === "";
    line.shown = text;
    if (isNew) {
      this.#drawn += 1;
      this.#output.write(`${text}\n`);
      return;
    }
    const up = this.#drawn - [...this.#block.keys()].indexOf(line.id);
    this.#output.write(`\x1b[${up}A\x1b[2K\r${text}\r\x1b[${up}B`);
  }

  /**
   * There are more lines than the terminal has rows, and what has scrolled out of it cannot be changed any more. So the
   * layers that are done go up, for good, and of the others as many are shown as there is room for.
   */
  #redraw(rows: number): void {
    this.#drawnAt = performance.now();
    const lines = [...this.#block.values()];
    const surplus = lines.length - (rows - 1);
    const done = lines.filter(({ status }) => lastWords.test(status)).slice(0, Math.max(0, surplus));
    for (const { id } of done) {
      this.#block.delete(id);
      this.#gone.add(id);
    }
    const left = [...this.#block.values()];
    const room = left.length < rows ? left.length : Math.max(0, rows - 2);
    const shown = left.slice(0, room);
    for (const line of left) line.shown = "";
    for (const line of shown) line.shown = this.#text(line);
    const rest = left.length - room;
    const text = [...done.map((line) => this.#text(line)), ...shown.map((line) => line.shown)];
    if (rest > 0) text.push(`... ${rest} more`.slice(0, this.#output.columns));
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A`;
    this.#drawn = shown.length + (rest > 0 ? 1 : 0);
    this.#isWhole = rest === 0;
    this.#output.write(`${up}\r\x1b[J${text.map((line) => `${line}\n`).join("")}`);
  }

  /** No wider than the terminal: a line that breaks would be two, and all those above it in the wrong place. */
  #text({ id, status, detail }: Line): string {
    const { columns } = this.#output;
    return `${id}: ${status} ${progressText(detail, columns)}`.slice(0, columns);
  }
}

/** `[=====>     ]  1.2MB/3.4MB`, or the amount alone where the total is not known or the terminal is narrow. */
export function progressText(detail: ProgressDetail, columns: number): string {
  const { current = 0, total = 0, hidecounts = false, units = "" } = detail;
  if (current <= 0 && total <= 0) return "";
  const amount = (value: number) => (units === "" ? formatBytesDecimal(value, 4) : String(value));
  const suffix = units === "" ? "" : ` ${units}`;
  const start = units === "" ? amount(current).padStart(8) : amount(current);
  if (total <= 0) return start + suffix;
  const width = 50;
  const done = Math.min(width, Math.floor(Math.floor((current / total) * 100) / 2));
  const bar = columns > 110 ? `[${"=".repeat(done)}>${" ".repeat(width - done)}] ` : "";
  if (hidecounts) return bar;
  return bar + start + (current > total ? "" : `/${amount(total)}`) + suffix;
}
