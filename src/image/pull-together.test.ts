/** Pulls that go on at the same time: what goes wrong with one is no other's trouble. */
import { describe, expect, test } from "bun:test";
import { addImage, type FixtureImage } from "./image-fixture.ts";
import { registryError } from "./registry/hostile-registry.ts";
import { base, failure, isRoot, useStore } from "./store-fixture.ts";

const fixture = useStore();

/** More layers than are downloaded at once. */
function addBusyImage(): FixtureImage {
  const layers = Array.from({ length: 6 }, (_, index) => [{ name: `file${index}`, data: `${index}` }]);
  return addImage(fixture.registry, layers, { tag: "busy" });
}

describe.skipIf(!isRoot)("a pull", () => {
  test.each([
    ["says that it is too busy", () => registryError(429, "TOOMANYREQUESTS", "later", { "retry-after": "50" })],
    ["ends every answer too early", () => new Response(new Uint8Array())],
  ])("gets its turn while the registry %s to others", async (_name, answer) => {
    const store = fixture.reopen({ registry: { stallTimeoutMs: 500, retryDelayMs: 10_000 } });
    const busy = addBusyImage();
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    const asked = new Set<string>();
    const allAsked = Promise.withResolvers<void>();
    fixture.registry.misbehave = (_request, url) => {
      const layer = busy.layers.find(({ digest }) => url.pathname.endsWith(digest));
      if (layer === undefined) return undefined;
      if (asked.add(layer.digest).size === busy.layers.length) allAsked.resolve();
      return answer();
    };
    const controller = new AbortController();
    const waiting = failure(store.pull(fixture.name("busy"), { signal: controller.signal }));
    await allAsked.promise;
    expect((await store.pull(fixture.name())).id).toBe(made.manifest);
    controller.abort();
    expect((await waiting).code).toBe("cancelled");
  });
});
