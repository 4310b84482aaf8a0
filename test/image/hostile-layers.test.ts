/**
 * Layers that a registry serves badly. Where it does so for good, the pull says of what, nothing is visible of it, and
 * the next one fetches only what is missing; where it does so once, the pull ends well.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { archive } from "../../src/tar/tar-fixture.ts";
import { until } from "../harness/command.ts";
import { LiveCommand } from "../harness/live.ts";
import { tsd } from "../harness/workspace.ts";
import { layerBytes, PullScene, type SceneImage } from "./pull-scene.ts";
import type { Rule } from "./registry-server.ts";

let scene: PullScene;

/** How the middle layer is served, and what the pull says. */
interface Case {
  rule: Omit<Rule, "path">;
  says: RegExp;
  /** Bytes of it that the next pull fetches at most; default all. */
  missing?: number;
  /** It is asked for several times before it is given up. */
  isRetried?: true;
}

const size = archive([{ name: "x", data: new Uint8Array(layerBytes) }]).length;

const refused: Record<string, Case> = {
  "with other content": { rule: { body: "x".repeat(size) }, says: /verification failed/ },
  "that is too long": { rule: { append: 5000 }, says: /more than the \d+ bytes/ },
  "that is far too long": { rule: { append: 50_000_000 }, says: /more than the \d+ bytes/ },
  "that is too short": {
    rule: { truncate: size - 1000 },
    isRetried: true,
    says: /truncated: got \d+ of \d+ bytes/,
    missing: 1000,
  },
  "that is a web page": {
    rule: { body: "<html>sign in</html>", headers: { "content-type": "text/html" } },
    says: /expected a blob, got a web page/,
  },
  "that is not there": { rule: { status: 404, body: "{}" }, says: /not found|unknown/ },
  "that is forbidden": { rule: { status: 403, body: "{}" }, says: /denied/ },
  "of which there are too many requests": {
    rule: {
      status: 429,
      body: '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}',
      headers: { "retry-after": "600" },
    },
    isRetried: true,
    says: /toomanyrequests: slow down/,
  },
  "whose server closes at once": {
    rule: { closeAfter: 0 },
    isRetried: true,
    says: /truncated|closed|ECONNRESET|unexpected end/i,
  },
  "whose server keeps silent": { rule: { stallAfter: 0 }, isRetried: true, says: /no data for \d+ seconds/ },
  "that comes compressed once more": {
    rule: { headers: { "content-encoding": "gzip" }, body: "\x1f\x8b compressed, they say" },
    says: /expected a blob, got content-encoding "gzip", which was not asked for/,
  },
  "that is another part of it": {
    rule: { status: 206, body: "x".repeat(1000), headers: { "content-range": `bytes 5000-5999/${size}` } },
    isRetried: true,
    says: /asked for the whole blob, got 206/,
  },
};

/** Of those that are given up only after several tries, all at once: what each said. */
const outcomes = new Map<string, { image: SceneImage; said: Promise<string> }>();

beforeAll(async () => {
  scene = await PullScene.open((name, data) => archive([{ name, data }]));
  const slow = Object.entries(refused).filter(([, { isRetried }]) => isRetried);
  const images = slow.map(([name, { rule }]) => {
    const image = scene.image();
    scene.misbehave({ path: `/blobs/${image.layers[1].digest}$`, ...rule });
    return { name, image };
  });
  for (const { name, image } of images) outcomes.set(name, { image, said: scene.refusal(image.reference) });
  await Promise.allSettled([...outcomes.values()].map(({ said }) => said));
}, 90_000);

/** A pull whose middle layer is served badly once the bottom one is there. */
function refusedAtOnce({ rule }: Case): { image: SceneImage; said: Promise<string> } {
  const image = scene.image();
  const [bottom, middle] = image.layers;
  scene.misbehave({ path: `/blobs/${middle.digest}$`, waitFor: `/blobs/${bottom.digest}$`, ...rule });
  return { image, said: scene.refusal(image.reference) };
}

afterAll(() => scene?.close());

describe("a layer is refused", () => {
  for (const [name, wrong] of Object.entries(refused)) {
    test(`${name}, and what was whole is kept for the next pull`, async () => {
      const { says, missing = size } = wrong;
      const { image, said } = outcomes.get(name) ?? refusedAtOnce(wrong);
      const [, middle] = image.layers;
      const message = await said;
      expect(message).toMatch(says);
      // What it is about: the layer, or where access is the matter the repository.
      expect([middle.digest.slice("sha256:".length), image.name].some((name) => message.includes(name))).toBe(true);
      expect(scene.hasBlob(middle)).toBe(false);
      await scene.expectNothingLeft();
      // The others may have waited for their turn, or been on their way, when the pull was given up.
      const isWhole = image.layers.map((layer) => scene.hasBlob(layer));
      scene.behave();
      const sent = await scene.goodPull(image);
      for (const index of [0, 2]) {
        if (isWhole[index]) expect(sent[index]).toBe(0);
        else expect(sent[index]).toBeLessThanOrEqual(size);
      }
      expect(sent[1]).toBeLessThanOrEqual(missing);
    }, 60_000);
  }
});

describe("a pull ends well though", () => {
  const borne: Record<string, (image: SceneImage) => Rule[]> = {
    "the server closes in the middle again and again": ({ layers }) => [{ path: layers[1].digest, closeAfter: 80_000 }],
    "the server falls silent in the middle": ({ layers }) => [{ path: layers[1].digest, stallAfter: 80_000, times: 2 }],
    "the server closes in the middle and knows no ranges": ({ layers }) => [
      { path: layers[1].digest, closeAfter: 80_000, times: 1 },
      { path: layers[1].digest, ignoreRange: true },
    ],
    "the server closes in the middle and answers with a wrong range": ({ layers }) => [
      { path: layers[1].digest, closeAfter: 80_000, times: 1 },
      { path: layers[1].digest, range: true, headers: { "content-range": `bytes 0-99/${layers[1].size}` } },
    ],
    "there is no length": ({ layers }) => [{ path: layers[1].digest, noLength: true }],
    "the server fails twice": ({ layers }) => [{ path: layers[1].digest, status: 502, body: "", times: 2 }],
    "the server wants to be asked later": ({ layers }) => [
      { path: layers[1].digest, status: 429, body: "{}", headers: { "retry-after": "1" }, times: 2 },
      { path: layers[2].digest, status: 503, body: "{}", headers: { "retry-after": "1" }, times: 1 },
    ],
    "the manifest is to be asked for later": ({ name }) => [
      { path: `/${name}/manifests/`, status: 429, body: "{}", headers: { "retry-after": "1" }, times: 1 },
    ],
    "an encoding is claimed that is none": ({ layers }) => [
      { path: layers[1].digest, headers: { "content-encoding": "identity" } },
    ],
  };
  for (const [name, rules] of Object.entries(borne)) {
    test(name, async () => {
      const image = scene.image();
      scene.misbehave(...rules(image));
      const sent = await scene.goodPull(image);
      scene.behave();
      // Nothing is fetched twice but what a server without ranges gives from its start.
      const again = name.includes("ranges") || name.includes("wrong range") ? 2 : 1.1;
      expect(sent[1]).toBeLessThanOrEqual(image.layers[1].size * again);
      expect(sent[1]).toBeGreaterThanOrEqual(image.layers[1].size);
    }, 30_000);
  }

  test("the length that is claimed is enormous", async () => {
    const image = scene.image();
    scene.misbehave({ path: image.layers[1].digest, claimBytes: 2 ** 50 });
    const { status, stderr } = await scene.daemon.tsd(["pull", image.reference]);
    scene.behave();
    // Refused for what it claims, or taken for the bytes that came: never waited for, nor made room for.
    if (status !== 0) expect(stderr).toMatch(/more than the \d+ bytes|1125899906842624/);
    await scene.expectNothingLeft();
    await scene.goodPull(image);
  }, 30_000);
});

test("a server that drips keeps nobody who wants to leave, and what has dripped is kept", async () => {
  const image = scene.image();
  const [, middle] = image.layers;
  scene.misbehave(
    { path: middle.digest, closeAfter: 200_000, times: 1 },
    { path: middle.digest, pieceBytes: 1, pauseMs: 500 },
  );
  await using client = new LiveCommand([tsd, "pull", image.reference], scene.daemon.env);
  const requests = (start: string) =>
    scene.registry.requests().filter((line) => line.startsWith(start) && line.includes(middle.digest));
  await until("the layer is asked for the second time", () => requests("GET").length > 1);
  client.kill("SIGINT");
  expect([130, 1]).toContain(await client.end());
  await until("the daemon has let go of the registry", () => requests("LEFT").length > 0);
  scene.behave();
  expect(await scene.daemon.ok("images", "-q", image.reference)).toBe("");
  const sent = await scene.goodPull(image);
  expect(sent[1]).toBeLessThanOrEqual(middle.size - 190_000);
}, 30_000);
