/** Lines that a log does not have: counted, and said in the log itself once it takes lines again. */
export class LogLosses {
  /** All that were ever lost. */
  lines = 0;
  #unsaid = 0;
  #reason = "";

  /** @returns whether these are the first since the last `said`. */
  add(lines: number, reason: string): boolean {
    const isFirst = this.#unsaid === 0;
    this.lines += lines;
    this.#unsaid += lines;
    this.#reason = reason;
    return isFirst && lines > 0;
  }

  /** What there is to say; undefined when nothing was lost since the last time. */
  get notice(): string | undefined {
    if (this.#unsaid === 0) return undefined;
    return `tsd: ${this.#shown} of this log were lost: ${this.#reason}`;
  }

  /** The notice is in the log. @returns how much that was about: `3 lines`. */
  said(): string {
    const shown = this.#shown;
    this.#unsaid = 0;
    return shown;
  }

  get #shown(): string {
    return `${this.#unsaid} ${this.#unsaid === 1 ? "line" : "lines"}`;
  }
}
