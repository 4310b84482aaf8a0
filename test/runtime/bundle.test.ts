/**
 * A bundle of an image, run by runc and by the built-in runtime: what its process sees of its container is the
 * same. Every difference is printed; one that `explained` does not have fails the test.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RuntimeConfig } from "../../src/oci/runtime.ts";
import { Bundles, type RuntimeName } from "./bundles.ts";
import { Explanations } from "./explained.ts";
import { differences, maskView, parseView, probeArgs, type View } from "./probe.ts";
import { scenarios } from "./scenarios.ts";

let bundles: Bundles;
const explanations = new Explanations();

beforeAll(async () => {
  bundles = await Bundles.open(["busybox", "debian"]);
}, 300_000);

afterAll(async () => {
  for (const note of explanations.notes()) console.log(`note: ${note}`);
  await bundles?.[Symbol.asyncDispose]();
});

async function observe(
  runtime: RuntimeName,
  image: "busybox" | "debian",
  change: (config: RuntimeConfig) => void,
): Promise<View> {
  const id = bundles.newId();
  const bundle = await bundles.variant(image, id, (config) => {
    config.process!.args = probeArgs;
    change(config);
  });
  const { status, stdout, stderr } = await bundles.verb(runtime, ["run", "--bundle", bundle, id]);
  if (status !== 7) throw new Error(`${runtime} run: status ${status}\n${stderr}${stdout}`);
  return maskView(parseView(stdout), id);
}

async function compare(image: "busybox" | "debian", change: (config: RuntimeConfig) => void): Promise<void> {
  const [runc, own] = [await observe("runc", image, change), await observe("tsd", image, change)];
  expect(explanations.add(differences(runc, own))).toEqual([]);
}

describe("a bundle shows its process the same under runc and under tsd", () => {
  test("as tsd bundle wrote it of busybox", () => compare("busybox", () => undefined));
  test("as tsd bundle wrote it of Debian", () => compare("debian", () => undefined));
  for (const { name, prepare } of scenarios) {
    test(name, async () => {
      await using prepared = await prepare(bundles.workspace);
      await compare("busybox", prepared.change);
    });
  }
});
