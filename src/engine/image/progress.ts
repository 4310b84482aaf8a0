/** From callbacks to the stream of messages that a client reads. */
import type { JsonMessage } from "../../api/schema/progress.ts";

/**
 * Runs work that reports as it goes and yields the reports; throws what the work throws, after the reports before it.
 * A reader that is slower than the reports gets of each layer's counters the newest only.
 */
export async function* reported(
  work: (report: (message: JsonMessage) => void) => Promise<void>,
): AsyncGenerator<JsonMessage, void, void> {
  const queue: JsonMessage[] = [];
  /** Where in the queue a counter waits that a newer one may replace. */
  const waiting = new Map<string, JsonMessage>();
  let wake: () => void = () => undefined;
  let outcome: { error?: unknown } | undefined;
  const report = (message: JsonMessage) => {
    const key =
      message.id !== undefined && message.progressDetail?.total ? `${message.id} ${message.status}` : undefined;
    const older = key === undefined ? undefined : waiting.get(key);
    if (older !== undefined) Object.assign(older, message);
    else {
      queue.push(message);
      if (key !== undefined) waiting.set(key, message);
    }
    wake();
  };
  const running = work(report).then(
    () => ({}),
    (error: unknown) => ({ error }),
  );
  void running.then((ended) => {
    outcome = ended;
    wake();
  });
  for (;;) {
    for (let message = queue.shift(); message !== undefined; message = queue.shift()) {
      waiting.delete(`${message.id} ${message.status}`);
      yield message;
    }
    if (outcome !== undefined) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  if ("error" in outcome) throw outcome.error;
}
