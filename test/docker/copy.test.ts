/**
 * `cp` has the same results with tsd's command line, with docker's client and tsd's daemon, and with docker's client and
 * dockerd: statuses, what is there afterwards on both sides, and what clients themselves say. What dockerd does is on
 * record: copy.soak.ts holds the record against it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DockerScene } from "../harness/docker.ts";
import { dockerClient } from "../harness/packages.ts";
import { tsd } from "../harness/workspace.ts";
import recorded from "./copy-outcomes.json" with { type: "json" };
import { daemonSaid, type Outcome, runCases, startContainer } from "./copy-runs.ts";
import { cases } from "./copy-table.ts";

let scene: DockerScene;
let own: Awaited<ReturnType<typeof runCases>>;
let client: Awaited<ReturnType<typeof runCases>>;
const dockerd = new Map(Object.entries(recorded as Record<string, Outcome>));

beforeAll(async () => {
  scene = await DockerScene.open();
  const { env } = scene.daemon;
  await startContainer(env, scene.image);
  [own, client] = await Promise.all([
    runCases({ name: "tsd", client: tsd, env, directory: scene.workspace.path("tsd") }),
    runCases({ name: "client", client: dockerClient(), env, directory: scene.workspace.path("client") }),
  ]);
}, 120_000);

afterAll(() => scene?.close());

describe("cp", () => {
  test("the table has sixty cases and more, and files are copied in most of them", () => {
    expect([...dockerd.keys()]).toEqual(cases.map(({ name }) => name));
    expect(cases.length).toBeGreaterThan(60);
    const done = [...dockerd.values()].filter(({ status }) => status === 0);
    expect(done.length).toBeGreaterThan(cases.length / 2);
  });

  test.each(cases.map(({ name }) => name))("%s", (name) => {
    const { said, ...expected } = dockerd.get(name)!;
    const { said: saidOfTsd, words, ...byClient } = client.get(name)!;
    const { said: _, words: ownWords, ...byOwn } = own.get(name)!;
    expect(byClient).toEqual(expected);
    expect(byOwn).toEqual(expected);
    // What dockerd 20.10 says of its own has paths of the host in it.
    if (said !== daemonSaid) expect(saidOfTsd).toBe(said);
    if (!betterWords.has(name)) expect(lastLine(ownWords)).toBe(lastLine(words));
  });
});

/** Docker's client names no path, or the link's target alone. */
const betterWords = new Set(["file/ c:new", "-L dangling c:new"]);

function lastLine(text: string): string {
  return text.split("\n").at(-1)!;
}
