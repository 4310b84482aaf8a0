/** The scenario `copy`: cp in and out of a running container, and export: one small file, 4,000 of them, 256 MB. */

import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { command, succeed } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";
import type { Engine } from "./engines.ts";
import { interleave, table } from "./measure.ts";

const [directories, filesEach, largeBytes] = [20, 200, 256 * 2 ** 20];
const container = "bench-copy";

export async function measureCopies(workspace: Workspace, engines: readonly Engine[], rounds: number): Promise<void> {
  const here = makeSources(workspace);
  for (const { prefix, env, runFlags, image } of engines) {
    const flags = ["-d", ...runFlags, "--name", container, "--network", "none"];
    await succeed([...prefix, "run", ...flags, image, "sleep", "86400"], { env });
  }
  const measure = async (title: string, words: (engine: Engine) => string[], times: number) => {
    const contenders = engines.map((engine) => ({
      name: engine.name,
      env: engine.env,
      argv: [...engine.prefix, ...words(engine)],
    }));
    console.log(table(title, await interleave(contenders, times, 1), "docker"));
  };
  const few = Math.max(1, Math.ceil(rounds / 3));
  for (const [name, what, times] of [
    ["small", "one small file", rounds],
    ["many", `${directories * filesEach} files`, few],
    ["large", "256 MB", few],
  ] as const) {
    await measure(`cp of ${what} into a container`, () => ["cp", `${here}/${name}`, `${container}:/`], times);
    const out = ({ name: engine }: Engine) => ["cp", `${container}:/${name}`, `${here}/out-${engine}-${name}`];
    await measure(`cp of ${what} out of a container`, out, times);
  }
  await measure("export of that container", ({ name }) => ["export", "-o", `${here}/${name}.tar`, container], few);
  for (const { prefix, env } of engines) await command([...prefix, "rm", "-f", container], { env });
}

function makeSources(workspace: Workspace): string {
  const here = workspace.path("copy");
  mkdirSync(here, { recursive: true });
  writeFileSync(`${here}/small`, "small\n");
  writeFileSync(`${here}/large`, randomBytes(largeBytes));
  for (let directory = 0; directory < directories; directory++) {
    mkdirSync(`${here}/many/${directory}`, { recursive: true });
    for (let file = 0; file < filesEach; file++) writeFileSync(`${here}/many/${directory}/${file}`, `${file}\n`);
  }
  return here;
}
