/** The daemon's side of a layer that is unpacked while it is fetched (protocol.ts). */
import type { DescriptorWriter } from "../../../ffi/stream.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import type { GrowingBlob } from "../content/ingest.ts";
import type { Slots } from "../shared-work.ts";

/** A child is not woken for less, unless that is all. */
const batchBytes = 2 ** 20;

/**
 * Tells a child how much of a blob it may read. It has a turn while it has something to read; while it waits for the
 * network others have it, so that a slow registry delays nobody else.
 */
export class Feeding implements Disposable {
  readonly #blob: GrowingBlob;
  readonly #slots: Slots;
  readonly #signal: AbortSignal;
  readonly #generation: number;
  readonly #ended = Promise.withResolvers<void>();
  #isEnded = false;
  #told = 0;
  #turn: Disposable | undefined;
  #hungry = Promise.withResolvers<void>();

  /** @param signal ends the waiting. */
  constructor(blob: GrowingBlob, slots: Slots, signal: AbortSignal) {
    this.#blob = blob;
    this.#slots = slots;
    this.#signal = signal;
    this.#generation = blob.generation;
    if (signal.aborted) this.#end();
    else signal.addEventListener("abort", () => this.#end(), { once: true });
  }

  /** The child has read what it was told of. */
  onHungry(): void {
    this.#hungry.resolve();
  }

  /** Waits until there is something to read, without a turn. @throws EngineError unavailable when the blob begins anew. */
  async fed(): Promise<void> {
    const { size } = this.#blob;
    while (this.#blob.available - this.#told < batchBytes && this.#blob.available < size && !this.#isEnded) {
      this.#checkGeneration();
      this.#release();
      await Promise.race([this.#blob.changed(), this.#ended.promise]);
    }
    this.#checkGeneration();
  }

  /**
   * Waits until there is something to read, and for the turn.
   * @throws EngineError cancelled; unavailable when the blob begins anew.
   */
  async ready(): Promise<void> {
    await this.fed();
    this.#turn ??= await this.#slots.take({ signal: this.#signal });
  }

  /** Feeds a child until it has been told of everything, or has ended. @throws as `ready`. */
  async run(control: DescriptorWriter): Promise<void> {
    try {
      while (!this.#isEnded) {
        await this.ready();
        this.#hungry = Promise.withResolvers<void>();
        this.#told = this.#blob.available;
        await control.write(Buffer.from(`${this.#told}\n`));
        if (this.#told === this.#blob.size) return;
        await Promise.race([this.#hungry.promise, this.#ended.promise]);
      }
    } catch (error) {
      // The child has ended: it says itself why.
      if (!isErrno(error, "EPIPE")) throw error;
    } finally {
      await control.close();
    }
  }

  /** The child has ended. */
  [Symbol.dispose](): void {
    this.#end();
    this.#release();
  }

  #end(): void {
    this.#isEnded = true;
    this.#ended.resolve();
  }

  #release(): void {
    this.#turn?.[Symbol.dispose]();
    this.#turn = undefined;
  }

  #checkGeneration(): void {
    if (this.#blob.generation !== this.#generation) {
      throw new EngineError("unavailable", "the layer is fetched anew");
    }
  }
}
