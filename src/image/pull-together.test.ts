/** Pulls that go on at the same time: what goes wrong with one is no other's trouble. */
import { describe, expect, test } from "bun:test";
import { EngineError } from "../core/errors.ts";
import type { PullProgress } from "./image.ts";
import { addImage, type FixtureImage } from "./image-fixture.ts";
import { registryError, TestRegistry } from "./registry/hostile-registry.ts";
import { base, failure, isRoot, top, useStore } from "./store-fixture.ts";

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

describe.skipIf(!isRoot)("a pull that waits for another's layer", () => {
  test("fetches it from its own registry when the other cannot, and fails only where that cannot either", async () => {
    await using other = { registry: new TestRegistry(), [Symbol.asyncDispose]: async () => other.registry.stop() };
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    addImage(other.registry, [base, top], { tag: "tag" });
    const asked = Promise.withResolvers<void>();
    const joined = Promise.withResolvers<void>();
    fixture.registry.misbehave = async (_request, url) => {
      if (!made.layers.some(({ digest }) => url.pathname.endsWith(digest))) return undefined;
      asked.resolve();
      await joined.promise;
      return registryError(404, "BLOB_UNKNOWN", "gone");
    };
    const first = failure(fixture.store.pull(fixture.name()));
    await asked.promise;
    let layers = 0;
    const onProgress = ({ status }: PullProgress) => {
      if (status === "Pulling fs layer" && ++layers === made.layers.length) joined.resolve();
    };
    const second = fixture.store.pull(`${other.registry.host}/some/image:tag`, { onProgress });
    expect((await first).code).toBe("not_found");
    expect((await second).isUnpacked).toBe(true);
    addImage(fixture.registry, [top], { tag: "none" });
    fixture.registry.misbehave = async (_request, url) => {
      if (!url.pathname.includes("/blobs/")) return undefined;
      await Bun.sleep(20);
      return registryError(404, "BLOB_UNKNOWN", "gone");
    };
    const pulls = [1, 2].map(() => failure(fixture.store.pull(fixture.name("none"))));
    const both = await Promise.all(pulls);
    expect(both.map(({ code }) => code)).toEqual(["not_found", "not_found"]);
  });
});

describe.skipIf(!isRoot)("what is done at the same time", () => {
  test("leaves an index of the layout that says all of it", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    for (let round = 0; round < 20; round++) {
      const names = Array.from({ length: 8 }, (_, index) => `round${round}-${index}`);
      await Promise.all(names.map((name) => fixture.store.tag(made.manifest, name)));
      expect(fixture.store.isPublished()).toBe(true);
      await Promise.all(names.map((name) => fixture.store.remove(name)));
      expect(fixture.store.isPublished()).toBe(true);
    }
  });

  test("is not taken for a leftover: a layer's directory that is whole and has no record yet", async () => {
    const { directories } = fixture.store;
    const partial = directories.makePartial();
    let name = "";
    await directories.finish(partial, (finished) => {
      name = finished;
      expect(directories.has(name)).toBe(true);
      expect(directories.isOwn(name)).toBe(true);
      return true;
    });
    expect([directories.has(name), directories.isOwn(name)]).toEqual([true, false]);
  });

  test("leaves no directory of a layer that could not be recorded, or that nobody wants any more", async () => {
    const { directories } = fixture.store;
    const full = directories.finish(directories.makePartial(), () => {
      throw new EngineError("no_space", "database or disk is full");
    });
    expect((await failure(full)).code).toBe("no_space");
    await directories.finish(directories.makePartial(), () => false);
    expect(fixture.snapshotNames()).toEqual([]);
  });
});
