/** A container that writes numbered lines into a log of tiny files, and followers that check what they get. */
import { expect } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { until } from "../harness/command.ts";
import type { Engine } from "../harness/engine.ts";
import { LiveCommand } from "../harness/live.ts";
import { tsd } from "../harness/workspace.ts";

/** Reads `FROM TO` and writes those lines, until an empty line. */
const script = `while read from to && [ "$from" ]; do awk -v from=$from -v to=$to 'BEGIN { for (i = from; i < to; i++) printf "line %d of the log\\n", i }'; done`;

/** What a follower has got: lines in order, without one missing or twice, but where it was told that some are. */
export class CheckedLines {
  /** The number of the line that comes next. */
  next = 0;
  /** How often it was told that lines are missing. */
  gaps = 0;
  /** The first thing that was wrong. */
  fault: string | undefined;
  #rest = "";

  push(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line.startsWith("tsd: lines are missing here")) {
      this.gaps++;
      this.#skips = true;
      return;
    }
    const number = Number(/^line (\d+) of the log$/.exec(line)?.[1] ?? Number.NaN);
    const isFine = this.#skips ? number >= this.next : number === this.next;
    if (!isFine) this.fault ??= `${JSON.stringify(line)} instead of line ${this.next}`;
    this.#skips = false;
    this.next = number + 1;
  }

  #skips = false;
}

export class RotatedLog implements AsyncDisposable {
  readonly #engine: Engine;
  readonly name: string;
  readonly #input: LiveCommand;
  readonly #abort = new AbortController();
  readonly #followers: { lines: CheckedLines; done: Promise<void> }[] = [];
  #written = 0;

  private constructor(engine: Engine, name: string) {
    this.#engine = engine;
    this.name = name;
    this.#input = new LiveCommand([tsd, "attach", "--sig-proxy=false", name], engine.daemon.env);
  }

  static async start(engine: Engine, driver: string, options: Record<string, string>): Promise<RotatedLog> {
    const name = `rotated-${driver}-${options["max-file"]}`;
    const flags = Object.entries(options).flatMap(([option, value]) => ["--log-opt", `${option}=${value}`]);
    await engine.start(["-i", "--name", name, "--log-driver", driver, ...flags], "sh", "-c", script);
    return new RotatedLog(engine, name);
  }

  get followers(): readonly CheckedLines[] {
    return this.#followers.map(({ lines }) => lines);
  }

  /** Follows from here on by the API. */
  async follow(): Promise<void> {
    const url = `http://tsd/containers/${this.name}/logs?follow=1&stdout=1&stderr=1&tail=0`;
    const answer = await fetch(url, { unix: this.#engine.daemon.socket, signal: this.#abort.signal });
    const lines = new CheckedLines();
    lines.next = this.#written;
    this.#followers.push({ lines, done: this.#check(answer, lines) });
  }

  async #check(answer: Response, lines: CheckedLines): Promise<void> {
    let held = Buffer.alloc(0);
    for await (const chunk of answer.body!) {
      held = Buffer.concat([held, chunk]);
      let at = 0;
      for (; at + 8 <= held.length && at + 8 + held.readUInt32BE(at + 4) <= held.length; ) {
        const end = at + 8 + held.readUInt32BE(at + 4);
        lines.push(held.toString("utf8", at + 8, end));
        at = end;
      }
      held = held.subarray(at);
    }
  }

  /** Has the container write so many lines. @returns at once. */
  async write(lines: number): Promise<void> {
    await this.#input.write(`${this.#written} ${this.#written + lines}\n`);
    this.#written += lines;
  }

  /** Until everyone has the last line. */
  async caughtUp(): Promise<void> {
    const last = () => this.#followers.every(({ lines }) => lines.next === this.#written || lines.fault !== undefined);
    await until("the followers have the last line", last, 60_000);
    expect(this.followers.map(({ fault }) => fault)).toEqual(this.followers.map(() => undefined));
  }

  /** What the files take of the disk. */
  async bytes(): Promise<number> {
    const id = await this.#engine.inspect(this.name, "{{.Id}}");
    const directory = join(this.#engine.daemon.root, "containers", id);
    const names = readdirSync(directory, { recursive: true }) as string[];
    const sizes = names.filter((name) => /\.log(\.|$)/.test(name)).map((name) => sizeOf(join(directory, name)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Ends the container: every follower ends with its last line. */
  async end(): Promise<void> {
    await this.#input.write("\n");
    expect(await this.#input.end()).toBe(0);
    await Promise.all(this.#followers.map(({ done }) => done));
    expect(this.followers.map(({ next, fault }) => ({ next, fault }))).toEqual(
      this.followers.map(() => ({ next: this.#written, fault: undefined })),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#followers.map(({ done }) => done));
    await this.#input[Symbol.asyncDispose]();
    await this.#engine.daemon.ok("rm", "-f", this.name);
  }
}

/** It may be rotated away meanwhile. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
