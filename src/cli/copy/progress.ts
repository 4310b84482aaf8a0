/** How far a copy is, on a terminal's last line, and what it came to, in docker's words. */
import { isTerminal } from "../../../ffi/pty.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { writeAll } from "../output.ts";

const standardError = 2;
const intervalMs = 75;
/** Goes to the line's first column and empties it. */
const emptyLine = "\r\x1b[2K";

export class CopyProgress {
  readonly #heading: string;
  /** Nothing is shown, and nothing needs to be counted. */
  readonly isQuiet: boolean;
  readonly #shows: boolean;
  #bytes = 0;
  #shownAt = 0;

  /** @param heading "Copying to container - ". */
  constructor(heading: string, quiet: boolean) {
    this.#heading = heading;
    this.isQuiet = quiet;
    this.#shows = !quiet && isTerminal(standardError);
    if (this.#shows) writeAll(standardError, "Preparing to copy...");
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (!this.#shows || performance.now() - this.#shownAt < intervalMs) return;
    this.#shownAt = performance.now();
    this.#line(this.#heading + formatBytesDecimal(this.#bytes));
  }

  /** @param target where everything is now. */
  finish(target: string): void {
    this.clear();
    if (!this.isQuiet) {
      writeAll(standardError, `Successfully copied ${formatBytesDecimal(this.#bytes)} to ${target}\n`);
    }
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#shows) this.#line("");
  }

  #line(text: string): void {
    writeAll(standardError, `${emptyLine}${text}`);
  }
}
