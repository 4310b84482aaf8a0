/** Bytes between a container's or an exec's streams and one client. */
export interface AttachStream {
  /** True with a terminal: `output` is raw bytes. Else it is Docker's 8-byte multiplexed frames, untouched. */
  readonly terminal: boolean;
  /**
   * From the process, until all its output streams have ended. Read by one `for await`; the next chunk is asked for
   * when the client has taken the last (back-pressure). Leaving the loop early (`return()`) or the abort of the
   * `signal` that was given to attach detaches: the iteration then ends, without error. When the client typed its
   * detach keys the signal's reason is an EngineError whose stage is `detach`; otherwise the client is gone.
   */
  readonly output: AsyncIterable<Uint8Array>;
  /** Absent when stdin was not asked for, or the process has none. */
  readonly input?: AttachInput;
}

export interface AttachInput {
  /** Resolves when more may be written. A process that is gone swallows what it is sent: no error. */
  write(chunk: Uint8Array): Promise<void> | void;
  /**
   * The client has ended its half: the backend closes stdin of an exec and of a container with StdinOnce, and ends the
   * attachment to any other container, as Docker does. Never called for a terminal.
   */
  end(): Promise<void> | void;
}
