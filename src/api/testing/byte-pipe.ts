/** A pipe within the process: the writer waits until the reader has taken what it wrote. */
export class BytePipe implements AsyncIterable<Uint8Array> {
  #chunk: Uint8Array | undefined;
  #ended = false;
  #changed = Promise.withResolvers<void>();

  async write(chunk: Uint8Array): Promise<void> {
    while (this.#chunk !== undefined && !this.#ended) await this.#changed.promise;
    if (this.#ended) return;
    this.#chunk = chunk;
    this.#notify();
    while (this.#chunk === chunk && !this.#ended) await this.#changed.promise;
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunk;
      if (chunk !== undefined) {
        this.#chunk = undefined;
        this.#notify();
        yield chunk;
      } else if (this.#ended) return;
      else await this.#changed.promise;
    }
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}
