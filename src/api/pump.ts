/** Moves bytes between a client's connection and a process's streams, both ways, until either is done. */

import { DetachScanner } from "../core/detach-keys.ts";
import { EngineError } from "../core/errors.ts";
import type { AttachInput, AttachStream } from "./backend/stream.ts";
import type { Connection } from "./transport.ts";

/** An attachment's own signal: aborted by the client's going away, by its detach keys, or by the end of the route. */
export function attachment(request: AbortSignal): AbortController {
  const controller = new AbortController();
  if (request.aborted) controller.abort(request.reason);
  else request.addEventListener("abort", () => controller.abort(request.reason), { once: true });
  return controller;
}

/**
 * A terminal's input has no end that a process could be told of (it is a key, ctrl-d): there, as with Docker, the
 * client's half-close ends the attachment. Input that nobody wants is read and dropped, so that its end is seen.
 *
 * @param controller of the signal that the stream was attached with
 * @param detachKeys looked for in a terminal's input
 * Resolves when the output has ended and was handed to the connection, or when the client detached or left.
 */
export async function pump(
  connection: Connection,
  stream: AttachStream,
  controller: AbortController,
  detachKeys?: Uint8Array,
): Promise<void> {
  const scanner = stream.terminal && detachKeys ? new DetachScanner(detachKeys) : undefined;
  const detach = () => controller.abort(new EngineError("cancelled", "detached by keys", { stage: "detach" }));
  const end = async () => {
    if (!stream.terminal) await stream.input?.end();
    const leaves = stream.terminal ? stream.input !== undefined : !connection.halfCloses;
    if (leaves) controller.abort(new EngineError("cancelled", "the client's input ended", { stage: "input" }));
  };
  const input = pumpInput(connection, stream.input ?? nobody, { scanner, detach, end });
  // A failure of the input is the stream's: it ends the output too, and is reported once that has ended.
  const failure = input.then(
    () => undefined,
    (error: unknown) => {
      controller.abort(error);
      return { error };
    },
  );
  await pumpOutput(connection, stream.output, controller.signal);
  if (controller.signal.aborted && !connection.signal.aborted) {
    const failed = await failure;
    if (failed) throw failed.error;
  }
}

const nobody: AttachInput = { write: () => undefined, end: () => undefined };

async function pumpOutput(
  connection: Connection,
  output: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  for await (const chunk of output) {
    const written = connection.write(chunk);
    if (written) await written;
    if (signal.aborted) return;
  }
}

async function pumpInput(
  connection: Connection,
  input: AttachInput,
  { scanner, detach, end }: { scanner: DetachScanner | undefined; detach: () => void; end: () => unknown },
): Promise<void> {
  for await (const chunk of connection.input) {
    const { pass, detached } = scanner?.scan(chunk) ?? { pass: chunk, detached: false };
    if (pass.byteLength > 0) {
      const written = input.write(pass);
      if (written) await written;
    }
    if (detached) return detach();
  }
  const held = scanner?.rest();
  if (held?.byteLength) await input.write(held);
  await end();
}
