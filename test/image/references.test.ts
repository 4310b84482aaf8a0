/** The table of references is docker's: its own command line says the same of each, to a server that only listens. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { badReferences, goodReferences, shadowedReferences } from "../../src/image/reference-fixture.ts";
import { command, succeed } from "../harness/command.ts";
import { dockerClient } from "../harness/packages.ts";

let directory: string;
let server: Bun.Server<undefined>;
/** The queries of the pulls that were asked for. */
const pulls: URLSearchParams[] = [];

beforeAll(() => {
  directory = mkdtempSync("/var/tmp/tsd-references-");
  server = Bun.serve({
    unix: join(directory, "docker.sock"),
    fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname.endsWith("/_ping")) return new Response("OK", { headers: { "api-version": "1.47" } });
      if (!pathname.endsWith("/images/create")) return new Response("{}", { status: 404 });
      pulls.push(searchParams);
      return new Response("{}\n");
    },
  });
});

afterAll(async () => {
  await server.stop(true);
  rmSync(directory, { recursive: true });
});

const env = () => ({ DOCKER_HOST: `unix://${join(directory, "docker.sock")}`, DOCKER_CONFIG: directory });

/** What docker would pull, in full, or why not. */
async function askDocker(reference: string): Promise<string> {
  pulls.length = 0;
  const { status, stderr } = await command([dockerClient(), "pull", "-q", "--", reference], { env: env() });
  const [pull] = pulls;
  if (pull === undefined) return stderr.split("\n")[0]!;
  expect(status).toBe(0);
  const tag = pull.get("tag")!;
  return `${pull.get("fromImage")}${tag.includes(":") ? "@" : ":"}${tag}`;
}

/** From docker 28 on its parser has the words of the table, and its command line sends names in full. */
const isRecent = Number((await succeed([dockerClient(), "--version"])).match(/version (\d+)/)![1]) >= 28;

test.skipIf(!isRecent)(
  "the good ones mean to docker what the table says",
  async () => {
    expect(goodReferences.length).toBeGreaterThan(50);
    const meant: [string, string][] = [];
    for (const [reference] of goodReferences) meant.push([reference, await askDocker(reference)]);
    // Of a tag and a digest docker sends the digest alone.
    const sent = (canonical: string) => canonical.replace(/:[^:/@]+@/, "@");
    expect(meant).toEqual(goodReferences.map(([reference, canonical]) => [reference, sent(canonical)]));
  },
  60_000,
);

test.skipIf(!isRecent)(
  "the bad ones are refused by docker in the words of the table",
  async () => {
    expect(badReferences.length).toBeGreaterThan(50);
    const said: [string, string][] = [];
    for (const [reference] of badReferences) said.push([reference, await askDocker(reference)]);
    expect(said).toEqual(badReferences);
  },
  60_000,
);

test.skipIf(!isRecent)("of those that docker takes for another registry's, tsd differs on purpose", async () => {
  for (const [reference, canonical] of shadowedReferences) {
    expect(await askDocker(reference)).toBe(canonical.replace("docker.io/", ""));
  }
});
