/** Numbers that look random and can be had again: mulberry32, a 32-bit generator in the public domain. */
export class Random {
  readonly seed: number;
  #state: number;

  /** @param name of the test, for the line that tells how to repeat it; TSD_SEED gives the seed. */
  constructor(name: string) {
    const given = process.env.TSD_SEED;
    this.seed = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);
    this.#state = this.seed;
    console.log(`note: ${name}: TSD_SEED=${this.seed}`);
  }

  /** From 0 up to, and without, the limit. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}
