/** Long work of the daemon's own, in slices: others have their turn between them. */

/** How long a slice may hold the event loop. */
const sliceMs = 8;
/** Names that are sorted at once: a millisecond's work. */
const runLength = 2048;

export class Slices {
  #ends = performance.now() + sliceMs;

  /** To be called often: it waits where it is time for others. */
  async turn(): Promise<void> {
    if (performance.now() < this.#ends) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#ends = performance.now() + sliceMs;
  }

  /** Strings by their code units: byte strings by their bytes. */
  async sorted(texts: readonly string[]): Promise<string[]> {
    let runs: string[][] = [];
    for (let at = 0; at < texts.length; at += runLength) {
      runs.push(texts.slice(at, at + runLength).sort());
      await this.turn();
    }
    while (runs.length > 1) {
      const merged: string[][] = [];
      for (let at = 0; at < runs.length; at += 2) merged.push(await this.#merged(runs[at]!, runs[at + 1] ?? []));
      runs = merged;
    }
    return runs[0] ?? [];
  }

  async #merged(a: readonly string[], b: readonly string[]): Promise<string[]> {
    const merged: string[] = [];
    for (let [i, j] = [0, 0]; i < a.length || j < b.length; ) {
      const isFirst = j === b.length || (i < a.length && a[i]! <= b[j]!);
      merged.push(isFirst ? a[i++]! : b[j++]!);
      if (merged.length % runLength === 0) await this.turn();
    }
    return merged;
  }
}
