/** What a container's output is written to. */
import type { LogSeam } from "./log-position.ts";

export type OutputStream = "stdout" | "stderr";

export interface LogWriter {
  /** Takes over what it needs of `chunk` before it returns. Never throws: a log that cannot be written is reported. */
  write(stream: OutputStream, chunk: Uint8Array): void;
  /** Writes what is held back (a line without its end) and closes. What has to wait for somebody has its time. */
  close(): Promise<void> | void;
  /**
   * Where it is at the moment of the call: what is written from then on comes behind it; undefined when it is not in files.
   * @throws the kernel's error.
   */
  seam(): Promise<LogSeam> | LogSeam | undefined;
  /** Lines that could not be written and are gone. */
  readonly lostLines: number;
  /** What the container has to wait for before it may write more; undefined when it may at once. */
  room?(): Promise<void> | undefined;
}
