import { openSync } from "node:fs";

/** One way to do what a scenario measures: a command that is run again and again. */
export interface Contender {
  name: string;
  argv: string[];
  env?: Record<string, string>;
}

export interface Measured {
  name: string;
  medianMs: number;
  minMs: number;
  /** CPU time of the command itself, not of daemons. */
  runs: number;
}

/**
 * Runs every contender once a round, so that a noisy moment of the machine hits all of them alike, and takes the
 * medians. A command that fails ends the benchmark: a fast failure is no result.
 */
export async function interleave(contenders: Contender[], rounds: number, warmup = 2): Promise<Measured[]> {
  const samples = new Map(contenders.map(({ name }) => [name, [] as number[]]));
  for (let round = -warmup; round < rounds; round++) {
    for (const contender of contenders) {
      const elapsed = await timed(contender);
      if (round >= 0) samples.get(contender.name)!.push(elapsed);
    }
  }
  return contenders.map(({ name }) => summarize(name, samples.get(name)!));
}

export function summarize(name: string, samplesMs: readonly number[]): Measured {
  return { name, medianMs: median(samplesMs), minMs: Math.min(...samplesMs), runs: samplesMs.length };
}

export function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)]!;
}

/** Runs a command to its end. @returns milliseconds. @throws Error when it fails. */
export async function timed({ name, argv, env }: Contender): Promise<number> {
  const errors = `/tmp/tsd-bench-${process.pid}.err`;
  const output = openSync("/dev/null", "w");
  const begun = Bun.nanoseconds();
  const child = Bun.spawn(argv, {
    stdin: "ignore",
    stdout: output,
    stderr: Bun.file(errors),
    ...(env && { env: { ...process.env, ...env } }),
  });
  const status = await child.exited;
  const elapsedMs = (Bun.nanoseconds() - begun) / 1e6;
  if (status !== 0) throw new Error(`${name}: ${argv.join(" ")}: status ${status}\n${await Bun.file(errors).text()}`);
  return elapsedMs;
}

/** A table of medians with their ratios to a reference, in Markdown so that it can go into the README as it is. */
export function table(title: string, results: Measured[], reference: string): string {
  const base = results.find((result) => result.name === reference)?.medianMs;
  const rows = results.map(({ name, medianMs, minMs }) => {
    const ratio = base === undefined ? "" : (medianMs / base).toFixed(2);
    return `| ${name} | ${medianMs.toFixed(1)} | ${minMs.toFixed(1)} | ${ratio} |`;
  });
  const runs = results[0]?.runs ?? 0;
  return [
    `### ${title} (${runs} runs each, interleaved)`,
    "",
    `| | median ms | min ms | ratio to ${reference} |`,
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}
