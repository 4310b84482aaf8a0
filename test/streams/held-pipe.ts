import { createReadStream } from "node:fs";
import { pipe2 } from "../../ffi/files.ts";

/** A pipe whose reader takes nothing until it is told to, for a program's standard output. */
export class HeldPipe implements Disposable {
  readonly #ends = pipe2();

  /** The descriptor for the program, which `started` closes here. */
  get writer(): number {
    return this.#ends.writer.number;
  }

  started(): void {
    this.#ends.writer.close();
  }

  /** Reads to the end. */
  async text(): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of createReadStream("", { fd: this.#ends.reader.release() })) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  }

  /** The reader is gone. */
  [Symbol.dispose](): void {
    this.#ends.writer.close();
    this.#ends.reader.close();
  }
}
