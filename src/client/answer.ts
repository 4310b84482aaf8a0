import { EngineError } from "../core/errors.ts";
import { parseExactJson } from "../core/exact-json.ts";
import { addressText, type DaemonAddress } from "./host.ts";

/** What the daemon answers, which it may be cut off in: it ends, or is killed, while a stream of logs is read. */
export class Answer {
  readonly #address: DaemonAddress;
  readonly #response: Response;

  constructor(address: DaemonAddress, response: Response) {
    this.#address = address;
    this.#response = response;
  }

  /** Undefined where it is not there. */
  header(name: string): string | undefined {
    return this.#response.headers.get(name) ?? undefined;
  }

  /** @throws EngineError unavailable when it is cut off. */
  async json<T>(): Promise<T> {
    try {
      return (await this.#response.json()) as T;
    } catch (error) {
      throw this.#cutOff(error);
    }
  }

  /** The same, with whole numbers that a double cannot hold as bigints. */
  async exactJson<T>(): Promise<T> {
    let text: string;
    try {
      text = await this.#response.text();
    } catch (error) {
      throw this.#cutOff(error);
    }
    return parseExactJson(text) as T;
  }

  /** The body as it arrives. @throws EngineError unavailable when it is cut off. */
  async *chunks(): AsyncGenerator<Uint8Array, void, void> {
    const reader = this.#response.body?.getReader();
    if (reader === undefined) return;
    try {
      for (;;) {
        const { done, value } = await this.#read(reader);
        if (done) return;
        yield value;
      }
    } finally {
      // Whoever has seen enough leaves; of a body that has ended or was cut off nothing is left to cancel.
      await reader.cancel().catch(() => undefined);
    }
  }

  async #read(reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read">) {
    try {
      return await reader.read();
    } catch (error) {
      throw this.#cutOff(error);
    }
  }

  #cutOff(error: unknown): EngineError {
    const { socket } = this.#address;
    const where = addressText(this.#address);
    return new EngineError("unavailable", `the tsd daemon at ${where} went away in the middle of its answer`, {
      ...(socket !== undefined && { path: socket }),
      cause: error,
      hint: "containers go on without it: ask again when it has been started",
    });
  }
}
