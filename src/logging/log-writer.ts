/** What a container's output is written to. */
export type OutputStream = "stdout" | "stderr";

export interface LogWriter {
  /** Takes over what it needs of `chunk` before it returns. Never throws: a log that cannot be written is reported. */
  write(stream: OutputStream, chunk: Uint8Array): void;
  /** Writes what is held back (a line without its end) and closes. */
  close(): void;
  /** Lines that could not be written and are gone. */
  readonly lostLines: number;
}
