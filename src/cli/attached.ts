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
  const output = new ContainerOutput(connection, { heedsSigpipe: options.proxySignals });
  const reader = new FrameOutput((descriptor, payload) => output.write(descriptor, payload));
  const show = options.tty ? (chunk: Uint8Array) => output.write(1, chunk) : (chunk: Uint8Array) => reader.push(chunk);
  try {
    await output.during(connection.read(show));
    return { detached };
  } finally {
    local[Symbol.dispose]();
    connection.close();
  }
}

/**
 * Writes docker's frames to standard output and standard error as they come. A log has a frame for each line: what
 * follows another of the same stream is written together with it.
 */
export class FrameOutput {
  readonly #write: (descriptor: 1 | 2, bytes: Uint8Array) => void;
  readonly #reader: FrameReader;
  #gathered = new Uint8Array(0);
  #length = 0;
  #descriptor: 1 | 2 = 1;

  constructor(write: (descriptor: 1 | 2, bytes: Uint8Array) => void = writeAll) {
    this.#write = write;
    this.#reader = new FrameReader((type, payload) => this.#gather(type === frameType.stderr ? 2 : 1, payload));
  }

  /** What it has of whole payloads and pieces is written when this returns. */
  push(chunk: Uint8Array): void {
    if (this.#gathered.length < chunk.length) this.#gathered = new Uint8Array(chunk.length);
    this.#reader.push(chunk);
    this.#flush();
  }

  #gather(descriptor: 1 | 2, payload: Uint8Array): void {
    if (descriptor !== this.#descriptor) this.#flush();
    this.#descriptor = descriptor;
    this.#gathered.set(payload, this.#length);
    this.#length += payload.length;
  }

  #flush(): void {
    const length = this.#length;
    this.#length = 0;
    if (length > 0) this.#write(this.#descriptor, this.#gathered.subarray(0, length));
  }
}
