/** An archive on its way to the child that unpacks it. */
import type { DescriptorWriter } from "../../../ffi/stream.ts";
import { letGo } from "../../core/ending.ts";
import { EngineError, isErrno } from "../../core/errors.ts";

/** A client that is silent for longer has forgotten its copy, and others wait for the container. */
const silenceMsMax = 120_000;

export interface Feeding {
  /** Rejects with what ended the archive; a child that ends early is no error: its own message says why. */
  readonly done: Promise<void>;
  /** Whoever still sends is not listened to any more. */
  stop(): void;
}

export function feed(archive: AsyncIterable<Uint8Array>, stdin: DescriptorWriter, silenceMs = silenceMsMax): Feeding {
  const iterator = archive[Symbol.asyncIterator]();
  let isStopped = false;
  let interrupt = (): unknown => undefined;
  /** The next piece; undefined after the last, and when it is stopped. @throws EngineError timeout. */
  const next = async (): Promise<Uint8Array | undefined> => {
    const piece = Promise.withResolvers<IteratorResult<Uint8Array> | undefined>();
    interrupt = () => piece.resolve(undefined);
    const silent = new EngineError("timeout", `nothing of the archive came for ${silenceMs / 1000} s`);
    const timer = setTimeout(() => piece.reject(silent), silenceMs);
    if (isStopped) interrupt();
    else iterator.next().then(piece.resolve, piece.reject);
    try {
      const result = await piece.promise;
      return result?.done ? undefined : result?.value;
    } finally {
      clearTimeout(timer);
    }
  };
  const done = (async () => {
    try {
      for (let piece = await next(); piece !== undefined; piece = await next()) await stdin.write(piece);
    } catch (error) {
      if (!isErrno(error, "EPIPE")) throw error;
    } finally {
      stdin.close();
      letGo(iterator);
    }
  })();
  done.catch(() => undefined); // looked at in its turn
  return {
    done,
    stop: () => {
      isStopped = true;
      interrupt();
    },
  };
}
