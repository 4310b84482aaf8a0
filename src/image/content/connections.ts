/** How many connections downloads may have beside the one that each of them has: bounded for a host and for the daemon. */
const perHostMax = 4;
const allMax = 8;

export class Connections {
  readonly #byHost = new Map<string, number>();
  #all = 0;

  /** One more, until it is disposed of; undefined when there are as many as may be. */
  take(host: string): Disposable | undefined {
    const count = this.#byHost.get(host) ?? 0;
    if (count >= perHostMax || this.#all >= allMax) return undefined;
    this.#byHost.set(host, count + 1);
    this.#all++;
    return {
      [Symbol.dispose]: () => {
        this.#all--;
        const left = this.#byHost.get(host)! - 1;
        if (left === 0) this.#byHost.delete(host);
        else this.#byHost.set(host, left);
      },
    };
  }
}
