/** The daemon's end of one connection to a companion. */
import { EngineError } from "../../core/errors.ts";
import { errorFromWire } from "../../core/wire-error.ts";
import type { CompanionAnswer, CompanionRequest } from "./protocol.ts";

const newline = 10;

/** A companion that says nothing for so long hangs: whatever it is asked takes milliseconds. */
const silenceMs = 30_000;

/** The connection has gone before the answer came: whether what was asked was done is not known. */
export class LostLink extends Error {
  override readonly name = "LostLink";
}

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

export class Link {
  #socket!: Bun.Socket<undefined>;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #parts: Uint8Array[] = [];
  #queue: Uint8Array[] = [];
  #timer: NodeJS.Timeout | undefined;
  readonly #closed = Promise.withResolvers<void>();
  isClosed = false;

  /** @returns undefined when nobody listens there. */
  static async open(path: string): Promise<Link | undefined> {
    const link = new Link();
    try {
      link.#socket = await Bun.connect<undefined>({
        unix: path,
        socket: {
          // Of this link alone: it may get bytes before the promise of Bun.connect is seen.
          open: (socket) => {
            link.#socket = socket;
          },
          data: (_, chunk) => link.#onData(chunk),
          drain: () => link.#flush(),
          close: () => link.#onClose(),
          error: () => link.#onClose(),
          connectError: () => link.#onClose(),
        },
      });
      return link;
    } catch {
      // ENOENT and ECONNREFUSED, and by Bun's own names: in any case there is nobody to talk to.
      return undefined;
    }
  }

  /** Resolves when the connection is gone, whoever closed it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** @throws EngineError that the companion answered; LostLink when it is gone. */
  async ask(request: string, parameters: unknown): Promise<unknown> {
    if (this.isClosed) throw new LostLink("the connection is closed");
    const message: CompanionRequest = { id: ++this.#lastId, request, arguments: parameters };
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(message.id, { resolve, reject });
    this.#queue.push(Buffer.from(`${JSON.stringify(message)}\n`));
    this.#flush();
    this.#watch();
    return promise;
  }

  close(): void {
    if (this.isClosed) return;
    this.#socket.terminate();
    this.#onClose();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    if (this.#pending.size === 0) return;
    this.#timer = setTimeout(() => this.close(), silenceMs);
    this.#timer.unref();
  }

  #onData(chunk: Uint8Array): void {
    // Copied: Bun uses the buffer of a chunk again.
    let rest: Uint8Array = chunk.slice();
    for (let end = rest.indexOf(newline); end >= 0; end = rest.indexOf(newline)) {
      this.#parts.push(rest.subarray(0, end));
      const line = Buffer.concat(this.#parts).toString();
      this.#parts = [];
      rest = rest.subarray(end + 1);
      this.#onAnswer(JSON.parse(line) as CompanionAnswer);
    }
    if (rest.length > 0) this.#parts.push(rest);
  }

  #onAnswer(answer: CompanionAnswer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    this.#watch();
    if (answer.ok) pending?.resolve(answer.result);
    else pending?.reject(errorFromWire(answer.error));
  }

  #flush(): void {
    while (this.#queue.length > 0 && !this.isClosed) {
      const bytes = this.#queue[0]!;
      const written = this.#socket.write(bytes);
      if (written < 0) {
        this.close();
        return;
      }
      if (written < bytes.length) {
        this.#queue[0] = bytes.subarray(written);
        return;
      }
      this.#queue.shift();
    }
  }

  #onClose(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.#timer);
    for (const { reject } of this.#pending.values()) reject(new LostLink("the connection was lost"));
    this.#pending.clear();
    this.#closed.resolve();
  }
}

/** What an ask's failure is to whoever knows nothing of connections. */
export function asEngineError(error: unknown, what: string): unknown {
  if (!(error instanceof LostLink)) return error;
  return new EngineError("unavailable", `${what}: ${error.message}`, { cause: error });
}
