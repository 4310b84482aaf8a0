/** Docker's messages of progress, a line each, as pull, push, load and import answer. */
import { errorBody, logFailure } from "./errors.ts";
import type { JsonMessage } from "./schema/progress.ts";
import { streamed } from "./streams.ts";
import { type ApiContext, requestName } from "./transport.ts";

/** The first message decides: an error before it has a status of its own, a later one is the stream's last line. */
export async function progressStream(c: ApiContext, progress: AsyncIterable<JsonMessage>): Promise<Response> {
  const iterator = progress[Symbol.asyncIterator]();
  const first = await iterator.next();
  return streamed(c, "application/json", messageLines(c, first, iterator));
}

async function* messageLines(
  c: ApiContext,
  first: IteratorResult<JsonMessage>,
  rest: AsyncIterator<JsonMessage>,
): AsyncGenerator<string> {
  try {
    for (let message = first; !message.done; message = await rest.next()) yield `${JSON.stringify(message.value)}\r\n`;
  } catch (error) {
    logFailure(error, requestName(c));
    const { message, ...details } = errorBody(error);
    const last: JsonMessage = { errorDetail: { message }, error: message, details };
    yield `${JSON.stringify(last)}\r\n`;
  } finally {
    await rest.return?.();
  }
}
