/** The client's end of one connection to a shim: lines of JSON until an attach, bytes from then on. */
import { EngineError, errorMessage, isErrno } from "../core/errors.ts";

/** sockaddr_un's sun_path has 108 bytes, the last of them a zero: unix(7). */
const socketPathBytesMax = 107;

/** Input waiting to be read above which the socket is no longer read from. */
const queuedBytesMax = 256 * 1024;

/** @throws EngineError invalid_argument for a path that no Unix socket can have. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= socketPathBytesMax) return;
  throw new EngineError(
    "invalid_argument",
    `socket path has ${bytes} bytes, at most ${socketPathBytesMax} fit: ${path}`,
    {
      path,
      hint: "choose a shorter --state directory",
    },
  );
}

/**
 * A connected Unix socket with back-pressure in both directions. `read` gives what has arrived, then undefined
 * at the end of the peer's output; `write` resolves when the kernel has taken the bytes.
 */
export class Connection {
  readonly #socket: Bun.Socket<Connection>;
  #arrived: Uint8Array[] = [];
  #arrivedBytes = 0;
  #paused = false;
  #ended = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  /** Resolves when the connection is gone, whoever closed it. */
  readonly closed: Promise<void>;
  #resolveClosed: () => void = () => undefined;
  isClosed = false;
  /** Why the connection broke, when the kernel said so. */
  failure: Error | undefined;

  private constructor(socket: Bun.Socket<Connection>) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
  }

  /** @throws EngineError unavailable when nobody listens there. */
  static async open(path: string): Promise<Connection> {
    checkSocketPath(path);
    try {
      const socket = await Bun.connect<Connection>({
        unix: path,
        allowHalfOpen: true,
        socket: {
          // Bytes can come before the promise of Bun.connect is seen: the connection is made at the open event.
          open: (opened) => {
            opened.data = new Connection(opened);
          },
          data: (opened, chunk) => opened.data.#onData(chunk),
          end: (opened) => opened.data.#onEnd(),
          drain: (opened) => opened.data.#onDrain(),
          close: (opened, error) => opened.data.#onClose(error),
          error: (opened, error) => opened.data.#onClose(error),
        },
      });
      return socket.data;
    } catch (error) {
      const reason = isErrno(error, "ENOENT", "ECONNREFUSED") ? "nobody listens there" : errorMessage(error);
      throw new EngineError("unavailable", `connect to shim at ${path}: ${reason}`, { path, cause: error });
    }
  }

  /** @returns what has arrived, as it arrived; undefined when the peer has ended its output or is gone. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#arrived.shift();
      if (chunk !== undefined) {
        this.#arrivedBytes -= chunk.byteLength;
        if (this.#paused && this.#arrivedBytes <= queuedBytesMax / 2) {
          this.#paused = false;
          this.#socket.resume();
        }
        return chunk;
      }
      if (this.#ended || this.isClosed) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakeReader = resolve;
      await promise;
    }
  }

  /** Puts bytes back in front of what `read` gives next. */
  unread(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return;
    this.#arrived.unshift(chunk);
    this.#arrivedBytes += chunk.byteLength;
  }

  /**
   * Resolves when the kernel has taken every byte. One call at a time.
   * @throws EngineError unavailable when the peer is gone.
   */
  async write(data: Uint8Array | string): Promise<void> {
    let rest = typeof data === "string" ? Buffer.from(data) : data;
    for (;;) {
      if (this.isClosed) throw new EngineError("unavailable", "the shim closed the connection");
      const written = this.#socket.write(rest);
      if (written > 0) rest = rest.subarray(written);
      if (rest.byteLength === 0) return;
      if (written < 0) throw new EngineError("unavailable", "the shim closed the connection");
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakeWriter = resolve;
      await promise;
    }
  }

  /** Half-close: the peer reads the end of our output, and can go on writing. */
  end(): void {
    if (!this.isClosed) this.#socket.shutdown();
  }

  close(): void {
    if (this.isClosed) return;
    this.#socket.end();
    this.#onClose(undefined);
  }

  #onData(chunk: Uint8Array): void {
    this.#arrived.push(chunk);
    this.#arrivedBytes += chunk.byteLength;
    if (!this.#paused && this.#arrivedBytes > queuedBytesMax) {
      this.#paused = true;
      this.#socket.pause();
    }
    this.#wake();
  }

  #onEnd(): void {
    this.#ended = true;
    this.#wake();
  }

  #onDrain(): void {
    const wake = this.#wakeWriter;
    this.#wakeWriter = undefined;
    wake?.();
  }

  #onClose(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.failure = error;
    this.#wake();
    this.#onDrain();
    this.#resolveClosed();
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}
