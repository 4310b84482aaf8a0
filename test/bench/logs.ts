/** The scenario `logs`: 200 MB of lines through `run`, attached and detached, kept by json-file, and read back by `logs`. */
import { succeed } from "../harness/command.ts";
import type { Engine } from "./engines.ts";
import { summarize, table, timed } from "./measure.ts";

const megabytes = 200;
const container = "bench-logs";
/** Lines of 100 bytes, as long as those of servers are. */
const script = `yes "$(printf "%099d" 0 | tr 0 x)" | dd bs=64k iflag=fullblock count=${megabytes * 16} 2>/dev/null`;

/** podman's own default is the host's journal, which the others do not write to. */
const driver = ["--log-driver", "json-file"];

export async function measureLogs(engines: readonly Engine[], rounds: number): Promise<void> {
  const few = Math.max(3, Math.ceil(rounds / 6));
  const attached = new Map(engines.map((engine) => [engine, [] as number[]]));
  const detached = new Map(engines.map((engine) => [engine, [] as number[]]));
  const read = new Map(engines.map((engine) => [engine, [] as number[]]));
  for (let round = -1; round < few; round++) {
    for (const engine of engines) {
      const { name, prefix, env } = engine;
      const run = ["run", ...driver, ...engine.runFlags, "--network", "none", "--name", container];
      const lines = [engine.image, "sh", "-c", script];
      const once = async (samples: Map<Engine, number[]>, argv: string[]) => {
        const elapsed = await timed({ name, env, argv });
        if (round >= 0) samples.get(engine)!.push(elapsed);
      };
      await once(attached, [...prefix, ...run, ...lines]);
      await once(read, [...prefix, "logs", container]);
      await succeed([...prefix, "rm", container], { env });
      // The end of the container and not of the command.
      const both = `"$@" run -d ${[...run.slice(1), ...lines].map(quoted).join(" ")} && "$@" wait ${container}`;
      await once(detached, ["sh", "-c", both, "sh", ...prefix]);
      await succeed([...prefix, "rm", container], { env });
    }
  }
  for (const [title, samples] of [
    [`run of ${megabytes} MB of lines, attached`, attached],
    [`run of ${megabytes} MB of lines, detached, and wait`, detached],
    [`logs of ${megabytes} MB of lines`, read],
  ] as const) {
    const results = engines.map((engine) => summarize(engine.name, samples.get(engine)!));
    console.log(table(title, results, "docker"));
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
