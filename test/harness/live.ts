import { until } from "./command.ts";

/** A program that runs beside the test, with pipes: what it wrote so far can be looked at and waited for. */
export class LiveCommand implements AsyncDisposable {
  readonly #argv: string[];
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  #hasRead = false;
  stdout = "";
  stderr = "";

  constructor(argv: string[], env: Record<string, string> = {}) {
    this.#argv = argv;
    this.#child = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe", stderr: "pipe", env: { ...process.env, ...env } });
    this.#read = Promise.all([
      collect(this.#child.stdout, (text) => {
        this.stdout += text;
      }),
      collect(this.#child.stderr, (text) => {
        this.stderr += text;
      }),
    ]).then(() => {
      this.#hasRead = true;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The signal that has ended it. */
  get signal(): NodeJS.Signals | number | null {
    return this.#child.signalCode;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get #written(): string {
    return `wrote at last ${JSON.stringify([this.stdout.slice(-1000), this.stderr.slice(-1000)])}`;
  }

  async write(text: string | Uint8Array): Promise<void> {
    this.#child.stdin.write(text);
    await this.#child.stdin.flush();
  }

  /** Ends its standard input. */
  async endInput(): Promise<void> {
    await this.#child.stdin.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until its standard output contains the text. */
  async shows(text: string, timeoutMs?: number): Promise<void> {
    try {
      await until(
        `output containing ${JSON.stringify(text)}`,
        () => {
          if (this.stdout.includes(text)) return true;
          if (this.#hasEnded && this.#hasRead) throw new Error("it has ended");
          return false;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new Error(`${this.#argv.join(" ")} ${this.#written}`, { cause: error });
    }
  }

  /** Waits until it has ended and all that it wrote was read. @returns its status, 128+n for a signal. */
  async end(timeoutMs?: number): Promise<number> {
    try {
      await until(`the end of ${this.#argv.join(" ")}`, () => this.#hasEnded, timeoutMs);
    } catch (error) {
      throw new Error(`it ${this.#written}`, { cause: error });
    }
    await this.#read;
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

async function collect(stream: ReadableStream<Uint8Array>, onText: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) onText(decoder.decode(chunk, { stream: true }));
}
