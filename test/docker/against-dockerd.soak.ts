/**
 * What is on record of dockerd's answers is what dockerd answers. With TSD_RECORD=1 it is recorded anew; then format it.
 */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { startDockerd } from "../harness/peers.ts";
import { Workspace } from "../harness/workspace.ts";
import { contender, lines, runTable } from "./against-dockerd.ts";
import outcomes from "./against-dockerd-outcomes.json" with { type: "json" };

test("docker says of dockerd what is on record", async () => {
  await using workspace = await Workspace.open();
  const dockerd = await startDockerd(workspace, "runc");
  const env = { ...dockerd.env, DOCKER_CONFIG: workspace.path("docker-config") };
  const said = await runTable(contender(workspace, env));
  const now = Object.fromEntries(lines.map((line, index) => [line, said[index]!]));
  if (process.env.TSD_RECORD === "1") {
    writeFileSync(`${import.meta.dir}/against-dockerd-outcomes.json`, `${JSON.stringify(now, null, 2)}\n`);
  } else expect(now).toEqual(outcomes as typeof now);
}, 120_000);
