/** setTimeout counts in 32 bits: one that is set for longer, which is 24.8 days, goes off at once. */
const pieceMsMax = 2 ** 31 - 1;

/** Waits in pieces, and keeps no process alive. */
export class LongTimer {
  readonly #goOff: () => void;
  readonly #atMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(goOff: () => void, delayMs: number) {
    this.#goOff = goOff;
    this.#atMs = performance.now() + delayMs;
    this.#wait();
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const leftMs = Math.max(0, this.#atMs - performance.now());
    const next = leftMs > pieceMsMax ? () => this.#wait() : this.#goOff;
    this.#timer = setTimeout(next, Math.min(leftMs, pieceMsMax)).unref();
  }
}
