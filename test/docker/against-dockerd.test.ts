/**
 * The unmodified docker client, with tsd: what it prints and its exit status for each command line of the table, beside
 * what is on record of Debian's dockerd (20.10; `against-dockerd.soak.ts` holds that it is so). Every difference is in
 * against-dockerd-differences.json, to the letter and with its class: `version` (dockerd 29 does as tsd does) or
 * `deliberate`. One that is not there fails, and one that has gone does, too.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DockerScene } from "../harness/docker.ts";
import { contender, image, lines, runTable } from "./against-dockerd.ts";
import recorded from "./against-dockerd-differences.json" with { type: "json" };
import outcomes from "./against-dockerd-outcomes.json" with { type: "json" };

interface Difference {
  command: string;
  class: "version" | "deliberate";
  why: string;
  /** Lines that are of one alone. */
  dockerd: string[];
  tsd: string[];
}

const differences = new Map((recorded as Difference[]).map((difference) => [difference.command, difference]));
const found = new Map<string, { dockerd: string[]; tsd: string[] }>();
let scene: DockerScene | undefined;

beforeAll(async () => {
  scene = await DockerScene.open();
  await scene.ok("tag", scene.image, image);
  await scene.ok("rmi", scene.image);
  const said = await runTable(contender(scene.workspace, scene.daemon.env));
  for (const [index, line] of lines.entries()) {
    const tsd = said[index]!;
    const dockerd = (outcomes as Record<string, string[]>)[line] ?? [];
    if (Bun.deepEquals(tsd, dockerd)) continue;
    found.set(line, { dockerd: without(dockerd, tsd), tsd: without(tsd, dockerd) });
  }
}, 120_000);

afterAll(() => scene?.close(), 60_000);

describe("docker says the same of tsd and of dockerd, or what is on record, for", () => {
  test.each(lines.map((line) => ({ line })))("$line", ({ line }) => {
    const { dockerd, tsd } = differences.get(line) ?? { dockerd: undefined, tsd: undefined };
    expect(found.get(line)).toEqual(dockerd && tsd && { dockerd, tsd });
  });
});

test("every command line is in the table once, and what is on record is of these alone", () => {
  expect(lines.filter((line, index) => lines.indexOf(line) !== index)).toEqual([]);
  expect(Object.keys(outcomes).sort()).toEqual([...lines].sort());
  expect([...differences.keys()].filter((line) => !lines.includes(line))).toEqual([]);
  expect(differences.size).toBe(recorded.length);
  const unclassed = recorded.filter(({ class: kind, why }) => !["version", "deliberate"].includes(kind) || why === "");
  expect(unclassed).toEqual([]);
});

function without(lines: string[], others: string[]): string[] {
  const left = [...others];
  return lines.filter((line) => {
    const at = left.indexOf(line);
    if (at !== -1) left.splice(at, 1);
    return at === -1;
  });
}
