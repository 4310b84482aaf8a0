import { EngineError } from "../../core/errors.ts";
import type { AttachStream } from "../backend/stream.ts";
import { encodeFrame, frameType } from "../schema/run-protocol.ts";
import { BytePipe } from "./byte-pipe.ts";

export type Emit = (stream: "stdout" | "stderr", data: string | Uint8Array) => Promise<void>;

export interface FakeStreams {
  stdin: BytePipe;
  emit: Emit;
  /** Resolves with the number of the signal that ends the process. */
  killed: Promise<number>;
}

/** Programs that a fake container can run, by the name of the command; each returns its exit status. */
const programs: Record<string, (args: string[], streams: FakeStreams) => Promise<number>> = {
  async echo(args, { emit }) {
    await emit("stdout", `${args.join(" ")}\n`);
    return 0;
  },
  async exit([status]) {
    return Number(status);
  },
  async cat(_, { stdin, emit }) {
    for await (const chunk of stdin) await emit("stdout", chunk);
    return 0;
  },
  /** Reads all, then answers how much it was: nothing can be said before the end of stdin. */
  async count(_, { stdin, emit }) {
    let bytes = 0;
    for await (const chunk of stdin) bytes += chunk.byteLength;
    await emit("stdout", `${bytes}\n`);
    return 0;
  },
  async both(_, { emit }) {
    await emit("stdout", "to stdout\n");
    await emit("stderr", "to stderr\n");
    return 3;
  },
  /** Writes so many bytes in pieces of 64 KiB. */
  async flood([size], { emit }) {
    const piece = new Uint8Array(1 << 16).fill(0x61);
    for (let rest = Number(size); rest > 0; rest -= piece.byteLength) {
      await emit("stdout", rest < piece.byteLength ? piece.subarray(0, rest) : piece);
    }
    return 0;
  },
  async ticks([count], { emit }) {
    for (let tick = 0; tick < Number(count); tick++) {
      await emit("stdout", `tick ${tick}\n`);
      await Bun.sleep(5);
    }
    return 0;
  },
  async sleep(_, { killed }) {
    return 128 + (await killed);
  },
};

/** A process that runs in this one: no privileges needed, and all of it observable. */
export class FakeProcess {
  readonly stdin = new BytePipe();
  readonly exited: Promise<number>;
  readonly written: { stream: "stdout" | "stderr"; time: string; line: Uint8Array }[] = [];
  readonly #terminal: boolean;
  readonly #command: string;
  readonly #started = Promise.withResolvers<void>();
  readonly #killed = Promise.withResolvers<number>();
  readonly #outputs = new Set<{ pipe: BytePipe; streams: { stdout: boolean; stderr: boolean } }>();
  readonly #watchers = new Set<() => void>();
  status: number | undefined;

  constructor(command: string[], terminal: boolean) {
    const [name = "", ...args] = command;
    const program = programs[name];
    this.#terminal = terminal;
    const emit: Emit = (stream, data) => this.#emit(stream, typeof data === "string" ? Buffer.from(data) : data);
    this.exited = this.#started.promise.then(async () => {
      const work = program?.(args, { stdin: this.stdin, emit, killed: this.#killed.promise }) ?? 127;
      const status = await Promise.race([work, this.#killed.promise.then((signal) => 128 + signal)]);
      this.status = status;
      for (const { pipe } of this.#outputs) pipe.end();
      this.stdin.end();
      for (const wake of this.#watchers) wake();
      return status;
    });
    this.#command = name;
  }

  /** @throws EngineError command_not_found; the process has then ended with 127, and what is attached ends. */
  start(): void {
    this.#started.resolve();
    if (programs[this.#command]) return;
    throw new EngineError("command_not_found", `exec: "${this.#command}": executable file not found in $PATH`);
  }

  kill(signal: number): void {
    this.#killed.resolve(signal);
  }

  attach(streams: { stdin: boolean; stdout: boolean; stderr: boolean }, signal: AbortSignal): AttachStream {
    const pipe = new BytePipe();
    const entry = { pipe, streams };
    const leave = () => {
      pipe.end();
      this.#outputs.delete(entry);
    };
    if (this.status === undefined) this.#outputs.add(entry);
    else pipe.end();
    signal.addEventListener("abort", leave, { once: true });
    return {
      terminal: this.#terminal,
      output: pipe,
      ...(streams.stdin && {
        input: { write: (chunk: Uint8Array) => this.stdin.write(chunk), end: () => this.stdin.end() },
      }),
    };
  }

  /** Waits for more output or the end. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#watchers.delete(wake);
        resolve();
      };
      this.#watchers.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  async #emit(stream: "stdout" | "stderr", data: Uint8Array): Promise<void> {
    if (data.byteLength < 1024) this.written.push({ stream, time: "2026-01-02T03:04:05.500000000Z", line: data });
    for (const wake of this.#watchers) wake();
    const bytes = this.#terminal ? data : encodeFrame(frameType[stream], data);
    const wanted = [...this.#outputs].filter(({ streams }) => streams[this.#terminal ? "stdout" : stream]);
    await Promise.all(wanted.map(({ pipe }) => pipe.write(bytes)));
  }
}
