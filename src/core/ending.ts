import { errorMessage } from "./errors.ts";
import { log } from "./log.ts";

/**
 * The pieces, and what is to be done when nobody wants more of them, however that comes to be: at their end, at an
 * error, or when whoever has them returns them. A generator's `finally` does not run when it is returned before its
 * first piece was asked for, and waits for a piece that is on its way.
 */
export function withEnding<T>(pieces: AsyncIterator<T>, onEnd: () => Promise<void>): AsyncGenerator<T, void, void> {
  let ending: Promise<void> | undefined;
  const end = () => {
    ending ??= onEnd();
    return ending;
  };
  const done = { done: true, value: undefined } as const;
  const generator: AsyncGenerator<T, void, void> = {
    async next() {
      if (ending !== undefined) return done;
      try {
        const next = await pieces.next();
        // It was returned meanwhile: how that ended the piece is nobody's concern.
        if (!next.done && ending === undefined) return { done: false, value: next.value };
      } catch (error) {
        if (ending === undefined) {
          await end();
          throw error;
        }
      }
      await end();
      return done;
    },
    async return() {
      await end();
      return done;
    },
    async throw(error: unknown) {
      await end();
      throw error;
    },
    [Symbol.asyncIterator]: () => generator,
    [Symbol.asyncDispose]: end,
  };
  return generator;
}

/** Waits for the first piece; the pieces as they were. */
export async function begun<T>(pieces: AsyncIterable<T>): Promise<AsyncGenerator<T, void, void>> {
  const iterator = pieces[Symbol.asyncIterator]();
  const first = await iterator.next();
  let isFirst = true;
  const next = async () => {
    if (!isFirst) return await iterator.next();
    isFirst = false;
    return first;
  };
  return withEnding({ next }, async () => {
    letGo(iterator);
  });
}

/** Nobody wants more of it. Not waited for: it may be at a piece that never comes. */
export function letGo(pieces: AsyncIterator<unknown>): void {
  const ended = Promise.try(() => pieces.return?.());
  ended.catch((error: unknown) =>
    log("debug", "what nobody reads any more has failed", { error: errorMessage(error) }),
  );
}
