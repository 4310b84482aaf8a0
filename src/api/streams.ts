/** Answers whose body goes on for a while. */
import { begun } from "../core/ending.ts";
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { type ApiContext, requestName } from "./transport.ts";

/**
 * Streams chunks, headers first and at once. A client that leaves ends the iteration; an error in the middle cuts the
 * connection, since the status has been sent: turn it into a last chunk before, where the format has one.
 */
export function streamed(c: ApiContext, contentType: string, chunks: AsyncIterable<Uint8Array | string>): Response {
  const iterator = chunks[Symbol.asyncIterator]();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(typeof value === "string" ? Buffer.from(value) : value);
        } catch (error) {
          if (!c.req.raw.signal.aborted) {
            log("error", "stream failed", { request: requestName(c), error: errorMessage(error) });
          }
          c.env.abort();
          controller.close();
        }
      },
      async cancel() {
        try {
          await iterator.return?.();
        } catch (error) {
          log("debug", "stream failed after its client left", { request: requestName(c), error: errorMessage(error) });
        }
      },
    },
    { highWaterMark: 0 },
  );
  // Named chunked, the adapter sends the headers before it asks for the first chunk: clients wait for them.
  return c.body(body, 200, { "content-type": contentType, "transfer-encoding": "chunked" });
}

/** As `streamed`, but the headers wait for the first chunk: an error before it has a status of its own. */
export async function streamedOnceBegun(
  c: ApiContext,
  contentType: string,
  chunks: AsyncIterable<Uint8Array>,
): Promise<Response> {
  return streamed(c, contentType, await begun(chunks));
}
