/**
 * How many shims are kept ready, and who gets which: the policy, apart from what a shim is.
 *
 * One is ready. Where starts come faster than that, those that wait are served by whatever comes first, a shim that is
 * given back or a new one, and no more are started at a time than there are processors; for a while after that the next
 * spare is started as soon as one is taken, and more of those that are given back are kept.
 */

export interface SparesOptions<Shim> {
  /** Starts a process. */
  spawn: () => Promise<Shim>;
  isUsable: (shim: Shim) => boolean;
  /** Lets go of one that is not needed: it ends. */
  discard: (shim: Shim) => void;
  /** Hears of a spare that could not be started; who waits for one is told by its rejection. */
  onFailure: (error: unknown) => void;
  /** As many are started at a time. */
  startsMax: number;
  /** When a spare is started after the last was taken. */
  replenishMs: number;
  /** For how long more than one is kept ready after a start that found none. */
  calmMs: number;
}

/** Of those that are given back after a burst. */
const keptMax = 4;

export class Spares<Shim> {
  readonly #options: SparesOptions<Shim>;
  readonly #ready: Shim[] = [];
  readonly #waiting: PromiseWithResolvers<Shim>[] = [];
  readonly #underWay = new Set<Promise<void>>();
  /** Shims that are being given back. */
  #returning = 0;
  /** As many are kept of those that are given back. */
  #kept = 1;
  #replenish: NodeJS.Timeout | undefined;
  #calm: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: SparesOptions<Shim>) {
    this.#options = options;
  }

  /** @throws what `spawn` throws. */
  async take(): Promise<Shim> {
    const ready = this.#takeReady();
    if (ready !== undefined) {
      this.#goOn();
      return ready;
    }
    const waiter = Promise.withResolvers<Shim>();
    this.#waiting.push(waiter);
    // What is on its way already would have been there a moment later: that is no burst.
    if (this.#waiting.length > this.#starting + this.#returning) this.#growFor();
    this.#serve();
    return waiter.promise;
  }

  /**
   * Takes back one whose container has ended.
   * @param makeSpare resolves with whether it takes another container; called only when one is needed.
   * @returns whether it was needed and is a spare now.
   */
  async giveBack(shim: Shim, makeSpare: () => Promise<boolean>): Promise<boolean> {
    if (this.#closed || (this.#waiting.length === 0 && this.#onHand >= this.#kept)) return false;
    clearTimeout(this.#replenish);
    this.#returning++;
    let isSpare = false;
    try {
      isSpare = await makeSpare();
    } finally {
      this.#returning--;
      if (isSpare) this.#offer(shim);
      else if (this.#waiting.length > 0) this.#serve();
      else this.#replenishLater();
    }
    return isSpare;
  }

  /** Starts a spare, in the background, if there is none. */
  prepare(): void {
    if (!this.#closed && this.#onHand < 1 && this.#starting < this.#options.startsMax) this.#start();
  }

  /** Lets the spares go, and those that are on their way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#replenish);
    clearTimeout(this.#calm);
    await Promise.all(this.#underWay);
    for (const shim of this.#ready.splice(0)) this.#options.discard(shim);
  }

  /** Processes that are being started. */
  get #starting(): number {
    return this.#underWay.size;
  }

  /** Ready, or about to be and not waited for. */
  get #onHand(): number {
    return this.#ready.length + this.#starting + this.#returning - this.#waiting.length;
  }

  #takeReady(): Shim | undefined {
    for (let shim = this.#ready.pop(); shim !== undefined; shim = this.#ready.pop()) {
      if (this.#options.isUsable(shim)) return shim;
    }
    return undefined;
  }

  /** A start found none: for a while there are to be more. */
  #growFor(): void {
    this.#kept = Math.min(keptMax, this.#kept + 1);
    clearTimeout(this.#calm);
    this.#calm = setTimeout(() => {
      this.#kept = 1;
      for (const shim of this.#ready.splice(1)) this.#options.discard(shim);
    }, this.#options.calmMs);
    this.#calm.unref();
  }

  /** Starts as many as are waited for, and nobody brings back. */
  #serve(): void {
    while (this.#waiting.length > this.#starting + this.#returning && this.#starting < this.#options.startsMax)
      this.#start();
  }

  #start(): void {
    const started: Promise<void> = this.#options.spawn().then(
      (shim) => {
        this.#underWay.delete(started);
        this.#offer(shim);
      },
      (error) => {
        this.#underWay.delete(started);
        this.#failed(error);
      },
    );
    this.#underWay.add(started);
  }

  #offer(shim: Shim): void {
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) waiter.resolve(shim);
    else if (this.#closed || this.#ready.length >= this.#kept) this.#options.discard(shim);
    else this.#ready.push(shim);
    this.#serve();
    if (waiter !== undefined) this.#goOn();
  }

  /** One was taken: in a burst the next is started at once. */
  #goOn(): void {
    if (this.#kept > 1) this.prepare();
    else this.#replenishLater();
  }

  /** Each failure is one waiter's, so that nobody waits for ever where every start fails. */
  #failed(error: unknown): void {
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) waiter.reject(error);
    else this.#options.onFailure(error);
    this.#serve();
  }

  #replenishLater(): void {
    clearTimeout(this.#replenish);
    if (this.#closed) return;
    this.#replenish = setTimeout(() => this.prepare(), this.#options.replenishMs);
    this.#replenish.unref();
  }
}
