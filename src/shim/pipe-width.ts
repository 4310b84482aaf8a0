/**
 * Has the pipe of a container's output hold more while the container writes as much as it can: its two ends wait for each
 * other less often, and 200 MB of lines take half the time. Only so long, because the kernel counts what root's pipes may
 * hold in all (pipe(7), pipe-user-pages-soft), and gives containers' own pipes next to nothing when that is used up.
 */

/** What Linux gives a pipe. */
const usualBytes = 64 * 1024;
const wideBytes = 4 * usualBytes;

/** So many reads that found the pipe full, one after another. */
const fullReads = 8;

/** So long after the last of them it is made as it was. */
const usualQuietMs = 1000;

export interface Pipe {
  /** @returns whether the pipe holds so much now; undefined when there is none any more. */
  setCapacity(bytes: number): boolean | undefined;
}

export class PipeWidth {
  readonly #pipe: Pipe;
  #full = 0;
  #isWide = false;
  /** The pipe was full since the timer last looked. */
  #isBusy = false;

  readonly #quietMs: number;

  constructor(pipe: Pipe, quietMs: number = usualQuietMs) {
    this.#pipe = pipe;
    this.#quietMs = quietMs;
  }

  /** Tells how much a read has brought. */
  note(bytes: number): void {
    if (bytes < usualBytes) {
      this.#full = 0;
      return;
    }
    this.#isBusy = true;
    if (this.#isWide || ++this.#full < fullReads) return;
    this.#full = 0;
    if (this.#pipe.setCapacity(wideBytes) !== true) return;
    this.#isWide = true;
    this.#lookLater();
  }

  #lookLater(): void {
    this.#isBusy = false;
    setTimeout(() => {
      // One that holds more than it is to hold is looked at again.
      if (this.#isBusy || this.#pipe.setCapacity(usualBytes) === false) this.#lookLater();
      else this.#isWide = false;
    }, this.#quietMs).unref();
  }
}
