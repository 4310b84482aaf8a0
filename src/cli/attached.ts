import { FrameReader, frameType } from "../api/schema/run-protocol.ts";
import type { HijackedConnection } from "../client/hijack.ts";
import { DetachScanner, defaultDetachKeys, parseDetachKeys } from "../core/detach-keys.ts";
import { ContainerOutput } from "./container-output.ts";
import { connectLocalStreams, type LocalStreamOptions } from "./local-streams.ts";
import { writeAll } from "./output.ts";

export interface AttachedOptions extends Omit<LocalStreamOptions, "detachKeys"> {
  /** As the user gave them: none stands for docker's. The daemon would find them too, but could not tell us. */
  detachKeys: string;
  resize(size: { h: number; w: number }): Promise<void>;
  signal(name: string): Promise<void>;
}

/**
 * Connects this process to a stream of docker's attach or exec until the container's side has ended. With a
 * terminal the stream is raw bytes, else docker's 8-byte frames (whose headers are those of the fast path).
 */
export async function connectAttached(
  connection: HijackedConnection,
  options: AttachedOptions,
): Promise<{ detached: boolean }> {
  let detached = false;
  const local = connectLocalStreams(
    {
      input: (chunk) => connection.write(chunk),
      endInput: () => connection.end(),
      // The process may have ended between the event and the request: nothing is left to resize or signal.
      resize: (size) => void options.resize(size).catch(() => undefined),
      signal: (name) => void options.signal(name).catch(() => undefined),
      detach: () => {
        detached = true;
        connection.close();
      },
    },
    { ...options, detachKeys: new DetachScanner(parseDetachKeys(options.detachKeys || defaultDetachKeys)) },
  );
  const output = new ContainerOutput(connection);
  const reader = frameOutput((descriptor, payload) => output.write(descriptor, payload));
  const show = options.tty ? (chunk: Uint8Array) => output.write(1, chunk) : (chunk: Uint8Array) => reader.push(chunk);
  try {
    await output.during(connection.read(show));
    return { detached };
  } finally {
    local[Symbol.dispose]();
    connection.close();
  }
}

/** Writes docker's frames to standard output and standard error as they come. */
export function outputReader(): FrameReader {
  return frameOutput(writeAll);
}

function frameOutput(write: (descriptor: 1 | 2, payload: Uint8Array) => void): FrameReader {
  return new FrameReader((type, payload) => write(type === frameType.stderr ? 2 : 1, payload));
}
