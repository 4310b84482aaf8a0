/** What is on record of dockerd's copies is what dockerd does. With TSD_RECORD=1 it is recorded anew; then format it. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { startDocker } from "../bench/engines.ts";
import { dockerClient } from "../harness/packages.ts";
import { Workspace } from "../harness/workspace.ts";
import recorded from "./copy-outcomes.json" with { type: "json" };
import { runCases, startContainer } from "./copy-runs.ts";

test("dockerd copies as it is on record", async () => {
  await using workspace = await Workspace.open();
  const dockerd = await startDocker(workspace);
  if (!dockerd) throw new Error("no dockerd: apt-get install docker.io");
  await startContainer(dockerd.env, dockerd.image);
  const directory = workspace.path("dockerd");
  const outcomes = await runCases({ name: "dockerd", client: dockerClient(), env: dockerd.env, directory });
  const plain = Object.fromEntries([...outcomes].map(([name, { words: _, ...outcome }]) => [name, outcome]));
  if (process.env.TSD_RECORD === "1") {
    writeFileSync(`${import.meta.dir}/copy-outcomes.json`, `${JSON.stringify(plain, null, 2)}\n`);
  } else expect(plain).toEqual(recorded as typeof plain);
}, 120_000);
