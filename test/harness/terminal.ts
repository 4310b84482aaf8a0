import { errorMessage } from "../../src/core/errors.ts";
import { until } from "./command.ts";

export interface TerminalOptions {
  rows?: number;
  columns?: number;
  env?: Record<string, string>;
  cwd?: string;
}

/**
 * A program at a pseudo-terminal of its own, as a person would use it: its three standard streams are the
 * terminal, which is its controlling one, so that Ctrl-C and a change of the window's size reach it as signals.
 */
export class TerminalSession implements AsyncDisposable {
  readonly #argv: string[];
  readonly #child: Bun.Subprocess;
  readonly #terminal: Bun.Terminal;
  readonly #decoder = new TextDecoder();
  #output = "";
  /** What `expect` has passed over, so that it does not find the same output twice. */
  #seen = 0;
  #hasClosed = false;

  constructor(argv: string[], options: TerminalOptions = {}) {
    this.#argv = argv;
    this.#child = Bun.spawn(argv, {
      // Made by spawn: a Bun.Terminal that existed before would not become the controlling terminal.
      terminal: {
        rows: options.rows ?? 24,
        cols: options.columns ?? 80,
        data: (_, bytes) => {
          this.#output += this.#decoder.decode(bytes, { stream: true });
        },
        exit: () => {
          this.#hasClosed = true;
        },
      },
      env: { ...process.env, TERM: "xterm", ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    this.#terminal = this.#child.terminal!;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** All that was shown so far, with the terminal's line ends (`\r\n`) and what it echoed. */
  get output(): string {
    return this.#output;
  }

  /** The program has the terminal in raw mode: keys reach it one by one, unechoed. */
  get isRaw(): boolean {
    const canonical = 0o2; // ICANON, termios(3)
    return (this.#terminal.localFlags & canonical) === 0;
  }

  type(text: string): void {
    this.#terminal.write(text);
  }

  /** Sets the window's size; the foreground process group gets SIGWINCH. */
  resize(size: { rows: number; columns: number }): void {
    this.#terminal.resize(size.columns, size.rows);
  }

  /**
   * Gives the window a size until the program has told it by a line of its own, as stty(1) does. A client of docker's
   * begins to listen for changes some time after the program's first word, and loses what comes before.
   */
  async resizeUntilTold(size: { rows: number; columns: number }): Promise<void> {
    const change = () => {
      this.resize({ ...size, columns: size.columns + 1 });
      this.resize(size);
    };
    const timer = setInterval(change, 200);
    try {
      change();
      await this.expect(new RegExp(`${size.rows} ${size.columns}\\r\\n`));
    } finally {
      clearInterval(timer);
    }
  }

  /** Waits for output that matches, after what was waited for last. @returns the match. */
  async expect(pattern: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    const wanted = typeof pattern === "string" ? new RegExp(RegExp.escape(pattern)) : pattern;
    try {
      return await until(
        `a match of ${pattern}`,
        () => {
          const match = wanted.exec(this.#output.slice(this.#seen));
          if (match === null) return undefined;
          this.#seen += match.index + match[0].length;
          return match;
        },
        timeoutMs,
      );
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Waits until the program has ended and all that it wrote was read. @returns its status, 128+n for a signal. */
  async end(timeoutMs?: number): Promise<number> {
    try {
      await until("the program has ended", () => this.#hasEnded, timeoutMs);
      await until("all its output was read", () => this.#hasClosed, timeoutMs);
    } catch (error) {
      throw this.#failure(error);
    }
    return this.#child.exited;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #failure(cause: unknown): Error {
    return new Error(`${this.#argv.join(" ")}: ${errorMessage(cause)}: ${JSON.stringify(this.#output)}`, { cause });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    this.#terminal.close();
  }
}
