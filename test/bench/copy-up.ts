/** The scenario `copy-up`: the first container with a new volume, which is filled from the image: one small file, 4,000, 256 MB. */
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";
import type { Engine } from "./engines.ts";
import { summarize, table, timed } from "./measure.ts";

const [directories, filesEach, largeBytes] = [20, 200, 256 * 2 ** 20];
const [image, container] = ["localhost/copy-up:1", "bench-copy-up"];

export async function measureCopyUp(workspace: Workspace, engines: readonly Engine[], rounds: number): Promise<void> {
  const archive = await makeArchive(workspace);
  for (const { prefix, env } of engines)
    await succeed([...prefix, "import", archive, image], { env, timeoutMs: 60_000 });
  const few = Math.max(1, Math.ceil(rounds / 3));
  for (const [name, what, times] of [
    ["none", "no volume", rounds],
    ["small", "a volume of one small file", rounds],
    ["many", `a volume of ${directories * filesEach} files`, few],
    ["large", "a volume of 256 MB", few],
  ] as const) {
    const samples = new Map(engines.map((engine) => [engine, [] as number[]]));
    for (let round = -1; round < times; round++) {
      for (const engine of engines) {
        const elapsed = await once(engine, name === "none" ? [] : ["-v", `/${name}`]);
        if (round >= 0) samples.get(engine)!.push(elapsed);
      }
    }
    const results = engines.map((engine) => summarize(engine.name, samples.get(engine)!));
    console.log(table(`run of a container with ${what}`, results, "docker"));
  }
}

/** To its end, for podman fills volumes when it starts; its removal does not count. @returns milliseconds. */
async function once({ name, prefix, env, runFlags, settled }: Engine, volume: string[]): Promise<number> {
  const flags = ["--name", container, "--network", "none", ...runFlags, ...volume];
  const elapsed = await timed({ name, env, argv: [...prefix, "run", ...flags, image, "true"] });
  await succeed([...prefix, "rm", "-v", container], { env });
  await settled?.();
  return elapsed;
}

async function makeArchive(workspace: Workspace): Promise<string> {
  const root = workspace.path("copy-up");
  for (const name of ["bin", "etc", "proc", "sys", "dev", "small", "large", "many"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  symlinkSync("busybox", join(root, "bin/true"));
  writeFileSync(join(root, "small/file"), "small\n");
  writeFileSync(join(root, "large/file"), randomBytes(largeBytes));
  for (let directory = 0; directory < directories; directory++) {
    mkdirSync(join(root, `many/${directory}`));
    for (let file = 0; file < filesEach; file++) writeFileSync(join(root, `many/${directory}/${file}`), `${file}\n`);
  }
  const archive = workspace.path("copy-up.tar");
  await succeed(["tar", "-C", root, "-cf", archive, "."], { timeoutMs: 60_000 });
  await succeed(["rm", "-rf", root]);
  return archive;
}
