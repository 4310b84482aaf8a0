/**
 * How much to ask for at once. What is asked for and not yet written is lost when the daemon is killed, so it shall be
 * little; but every request waits for its answer, so it shall be worth the wait.
 */
const bytesMax = 32 * 2 ** 20;
/** A range shall take so many times as long as the wait for it. */
const worthWaits = 4;
/** Bytes a millisecond. What comes faster, one connection brings as fast as it can be written and unpacked. */
const fastRate = 64_000;

export class RangeLength {
  readonly #bytesMin: number;
  /** Of the range that was received last. */
  bytes: number;
  /** More connections would bring no more. */
  isFast = false;

  constructor(bytesMin: number) {
    this.#bytesMin = bytesMin;
    this.bytes = bytesMin;
  }

  /** @param waitedMs from the request to the answer's headers. @param tookMs from there to its end. */
  note(waitedMs: number, tookMs: number, bytes: number): void {
    if (bytes < this.#bytesMin) return;
    this.isFast = bytes / (waitedMs + tookMs) > fastRate;
    const wanted = (bytes / Math.max(tookMs, 0.1)) * waitedMs * worthWaits;
    // At most doubled: one measurement may be off.
    this.bytes = Math.max(this.#bytesMin, Math.min(bytesMax, wanted, 2 * this.bytes));
  }
}
