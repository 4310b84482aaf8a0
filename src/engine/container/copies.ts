/** What goes on of copies from and to a container's files, so that whoever needs them to end can end them. */
import { EngineError, isEngineError } from "../../core/errors.ts";

/** A child that SIGKILL does not end within this hangs in the kernel. */
const endTimeoutMs = 10_000;

/** One copy, as `work` sees it. */
export interface GoingCopy {
  /** Aborted by whoever asked for it, and when it is ended; then its reason is an EngineError. */
  readonly signal: AbortSignal;
  /** It holds the mounts of a run of the container, and must not outlast it into the next. */
  isLive: boolean;
}

export class Copies {
  readonly #going = new Map<GoingCopy, { controller: AbortController; over: Promise<void> }>();

  /** Runs `work`, which settles when nothing is left of it. @throws what it throws, or why it was ended. */
  async run<T>(signal: AbortSignal, work: (copy: GoingCopy) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const over = Promise.withResolvers<void>();
    const copy: GoingCopy = { signal: controller.signal, isLive: false };
    this.#going.set(copy, { controller, over: over.promise });
    try {
      return await work(copy);
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#going.delete(copy);
      over.resolve();
    }
  }

  /** For those that hold the mounts of a run. As `end`. */
  async endLive(reason: string): Promise<void> {
    await this.#end(reason, (copy) => copy.isLive);
  }

  /** Resolves when nothing is left of them. @param reason "container x was …". @throws EngineError timeout. */
  async end(reason: string): Promise<void> {
    await this.#end(reason, () => true);
  }

  async #end(reason: string, isMeant: (copy: GoingCopy) => boolean): Promise<void> {
    const ended = [...this.#going].filter(([copy]) => isMeant(copy)).map(([, going]) => going);
    if (ended.length === 0) return;
    const error = new EngineError("conflict", reason);
    for (const { controller } of ended) controller.abort(error);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(
        new EngineError("timeout", `a copy of its files did not end within ${endTimeoutMs / 1000} s of SIGKILL`, {
          hint: "it hangs in the kernel: look at the mounts of the container",
        }),
      );
    }, endTimeoutMs);
    try {
      await Promise.race([Promise.all(ended.map(({ over }) => over)), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Why a copy was ended by somebody else than who asked for it. */
export function whyEnded({ signal }: GoingCopy): EngineError | undefined {
  return isEngineError(signal.reason) ? signal.reason : undefined;
}
