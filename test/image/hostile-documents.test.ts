/** Manifests, indexes, configurations, tokens and redirects of a registry that lies: refused by name, and nothing is left. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { archive } from "../../src/tar/tar-fixture.ts";
import type { Descriptor } from "./hostile-registry.ts";
import { PullScene, type SceneImage } from "./pull-scene.ts";
import type { Rule } from "./registry-server.ts";

let scene: PullScene;

const oci = "application/vnd.oci.image";
const manifestType = { "content-type": `${oci}.manifest.v1+json` };
const manifestBytesMax = 4 * 2 ** 20;

beforeAll(async () => {
  scene = await PullScene.open((name, data) => archive([{ name, data }]));
}, 60_000);

afterAll(() => scene?.close());

afterEach(async () => {
  scene.behave();
  expect(await scene.daemon.ok("images", "-aq")).toBe("");
  await scene.expectNothingLeft();
  expect((await scene.daemon.tsd(["version"])).status).toBe(0);
});

/** The rule for an image's manifest, asked for by its tag. */
function manifestRule({ name }: SceneImage, rule: Omit<Rule, "path">): Rule {
  return { path: `/${name}/manifests/latest$`, ...rule };
}

describe("a manifest is refused", () => {
  const cases: [string, Omit<Rule, "path">, RegExp][] = [
    [
      "that is larger than it may be",
      { body: " ".repeat(manifestBytesMax + 1), headers: manifestType },
      /larger than 4194304/,
    ],
    [
      "that does not end",
      { body: " ".repeat(manifestBytesMax * 2), headers: manifestType, noLength: true },
      /larger than 4194304/,
    ],
    ["that claims to be enormous", { claimBytes: 2 ** 50 }, /1125899906842624 bytes is larger than 4194304/],
    ["that is cut off", { truncate: 100 }, /manifest.*JSON/],
    ["that is empty", { body: "", headers: manifestType }, /manifest.*JSON/],
    ["that is no object", { body: "[1]", headers: manifestType }, /manifest/],
    ["that is nested without end", { body: "[".repeat(1_000_000), headers: manifestType }, /manifest.*JSON/],
    [
      "that is not what its header says",
      { headers: { "docker-content-digest": `sha256:${"0".repeat(64)}` } },
      /manifest has digest sha256:[0-9a-f]{64}, not sha256:0{64}/,
    ],
    [
      "whose header is no digest",
      { headers: { "docker-content-digest": "sha256:../../../../etc/passwd" } },
      /digest "sha256:\.\.\/\.\.\/\.\.\/\.\.\/etc\/passwd"/,
    ],
    ["of the first schema", { body: '{"schemaVersion":1}', headers: manifestType }, /manifest/],
    [
      "of a type that nobody knows",
      { headers: { "content-type": "application/vnd.example.thing+json" } },
      /unsupported media type "application\/vnd\.example\.thing\+json"/,
    ],
  ];
  test.each(cases)("%s", async (_, rule, says) => {
    const image = scene.image();
    scene.misbehave(manifestRule(image, rule));
    const message = await scene.refusal(image.reference);
    expect(message).toMatch(says);
    expect(message).toContain(image.name);
  });

  const edits: [string, (manifest: { config: Descriptor; layers: Descriptor[] }) => void, RegExp][] = [
    ["with a digest that climbs", ({ layers }) => set(layers[1]!, "digest", "sha256:../../../../etc/passwd"), /digest/],
    ["with a digest of a weak algorithm", ({ layers }) => set(layers[1]!, "digest", `md5:${"0".repeat(32)}`), /digest/],
    ["with a size below zero", ({ layers }) => set(layers[1]!, "size", -1), /size/],
    ["with a size that is no number", ({ layers }) => set(layers[1]!, "size", "many"), /size/],
    ["with a size beyond all numbers", ({ layers }) => set(layers[1]!, "size", 1e300), /size/],
    [
      "with layers that the configuration does not have",
      ({ layers }) => void layers.pop(),
      /2 layers, the configuration 3/,
    ],
    [
      "of something that is no image",
      ({ config }) => set(config, "mediaType", "application/vnd.example.config"),
      /vnd\.example\.config/,
    ],
    [
      "whose configuration is shorter than it says",
      ({ config }) => set(config, "size", config.size + 1),
      /truncated|bytes/,
    ],
    ["whose configuration is longer than it says", ({ config }) => set(config, "size", config.size - 1), /bytes/],
    ["whose configuration is enormous", ({ config }) => set(config, "size", 2 ** 40), /1099511627776/],
    [
      "whose layer is longer than it says",
      ({ layers }) => set(layers[1]!, "size", layers[1]!.size - 1),
      /more than the \d+ bytes/,
    ],
  ];
  test.each(edits)(
    "%s",
    async (_, editManifest, says) => {
      const { reference } = scene.image({ editManifest });
      expect(await scene.refusal(reference)).toMatch(says);
    },
    30_000,
  );
});

function set(object: object, key: string, value: unknown): void {
  (object as Record<string, unknown>)[key] = value;
}

describe("an index is refused", () => {
  const platform = { os: "linux", architecture: "amd64" };

  test("that leads back to itself, by a server that lies about digests", async () => {
    const { manifest, name } = scene.image();
    const reference = scene.registry.addIndex("loop", [{ ...manifest, mediaType: `${oci}.index.v1+json`, platform }]);
    // Whatever is asked for, the answer is an index that leads on.
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: `${oci}.index.v1+json`,
      manifests: [{ ...manifest, mediaType: `${oci}.index.v1+json`, platform }],
    });
    scene.misbehave({ path: "/loop/manifests/", body, headers: { "content-type": `${oci}.index.v1+json` } });
    expect(await scene.refusal(reference)).toMatch(/manifest has digest sha256:[0-9a-f]{64}, not /);
    expect(name).not.toBe("");
  });

  test("that leads from index to index without end", async () => {
    let { manifest } = scene.image();
    for (let depth = 0; depth < 50; depth++) {
      const index = { schemaVersion: 2, mediaType: `${oci}.index.v1+json`, manifests: [{ ...manifest, platform }] };
      manifest = scene.registry.addManifest("deep", "latest", index);
    }
    expect(await scene.refusal(`${scene.registry.host}/deep`)).toMatch(/index/i);
  });

  test("of which a child is not as long as it says", async () => {
    const image = scene.image();
    const child = { ...image.manifest, size: image.manifest.size + 1, platform };
    scene.registry.addManifest("child", image.manifest.digest, { mediaType: manifestType["content-type"] });
    const reference = scene.registry.addIndex("child", [child]);
    expect(await scene.refusal(reference)).toMatch(/bytes|digest|size/);
  });

  test("that has nothing in it", async () => {
    const reference = scene.registry.addIndex("nothing", []);
    expect(await scene.refusal(reference)).toMatch(/linux\/amd64/);
  });
});

describe("a token server is refused", () => {
  const realm = () => `http://${scene.registry.host}/token`;
  const challenge = () => ({ "www-authenticate": `Bearer realm="${realm()}",service="x"` });
  const cases: [string, Omit<Rule, "path">, RegExp][] = [
    [
      "that answers with a web page",
      { body: "<html>sign in</html>", headers: { "content-type": "text/html" } },
      /no token/,
    ],
    ["that has no token", { body: "{}" }, /no token/],
    ["whose token is a number", { body: '{"token":1}' }, /no token/],
    ["whose token is empty", { body: '{"token":""}' }, /no token/],
    ["whose token would be a header of its own", { body: '{"token":"x\\r\\nHost: evil"}' }, /no token/],
    ["whose token does not end", { body: `{"token":"${"x".repeat(3_000_000)}"}` }, /larger than/],
    ["that keeps silent", { stallAfter: 0, body: "{}" }, /no data for \d+ seconds/],
    ["that closes", { closeAfter: 0, body: "{}" }, /token/],
    [
      "that says no",
      { status: 403, body: '{"errors":[{"code":"DENIED","message":"go away"}]}' },
      /unauthorized|denied/,
    ],
  ];
  test.each(cases)(
    "%s, by its address",
    async (_, rule, says) => {
      const image = scene.image();
      scene.misbehave(
        { path: "^/token", ...rule },
        manifestRule(image, { status: 401, body: "{}", headers: challenge() }),
      );
      const message = await scene.refusal(image.reference);
      expect(message).toMatch(says);
      expect(message).toMatch(/\/token|image\d+/);
    },
    30_000,
  );

  test("whose tokens are never good, and one that ends in the middle is renewed", async () => {
    const image = scene.image();
    const [, middle] = image.layers;
    const denied = { status: 401, body: "{}", headers: challenge() };
    scene.misbehave({ path: "^/token", token: true }, { path: "^/v2/.", ...denied });
    expect(await scene.refusal(image.reference)).toMatch(/unauthorized|denied/);
    scene.behave();
    const before = scene.registry.exchanges().length;
    scene.misbehave(
      { path: "^/token", token: true },
      { path: middle.digest, closeAfter: 100_000, times: 1, authorization: "t\\d" },
      // From then on the token that was good so far is not.
      { path: middle.digest, times: 1, ...denied },
      { path: "^/v2/.", notAuthorization: "^Bearer t\\d+$", ...denied },
    );
    const sent = await scene.goodPull(image);
    expect(sent[1]).toBeLessThanOrEqual(middle.size + 1000);
    const tokens = scene.registry
      .exchanges()
      .slice(before)
      .filter(({ path }) => path === "/token");
    expect(tokens.length).toBeGreaterThanOrEqual(2);
    await scene.daemon.ok("rmi", image.reference);
  }, 30_000);
});

describe("a redirect", () => {
  const credentials = { "www-authenticate": 'Basic realm="x"' };

  test("elsewhere is followed without the user's password, which no other server gets by asking", async () => {
    const { daemon, registry, elsewhere } = scene;
    const image = scene.image();
    const [bottom, middle, top] = image.layers;
    for (const layer of [bottom, middle, top]) {
      const blob = new Uint8Array(await Bun.file(registry.blobPath(layer)).arrayBuffer());
      elsewhere.addBlob(blob, layer.mediaType);
    }
    const moved = (digest: string): Rule => ({
      path: digest,
      status: 307,
      body: "",
      headers: { location: `http://${elsewhere.host}/v2/x/blobs/${digest}?signature=x` },
    });
    scene.misbehave(
      { path: "^/v2/", notAuthorization: "^Basic ", status: 401, body: "{}", headers: credentials },
      moved(bottom.digest),
      moved(middle.digest),
      moved(top.digest),
    );
    await daemon.ok("login", "-u", "me", "-p", "secret", registry.host);
    await scene.goodPull(image);
    const blobs = elsewhere.exchanges().filter(({ path }) => path.includes("/blobs/"));
    const asked = blobs.map(({ path, authorization }) => [path.replace(/.*:/, ""), authorization]);
    expect(asked.sort()).toEqual(image.layers.map(({ digest }) => [digest.slice(7), ""]).sort());
    await daemon.ok("rmi", image.reference);

    const other = scene.image();
    elsewhere.misbehave({ path: "^/v2/", status: 401, body: "{}", headers: credentials });
    scene.misbehave(...other.layers.map(({ digest }) => moved(digest)));
    expect(await scene.refusal(other.reference)).toMatch(/unauthorized|denied/);
    expect(elsewhere.exchanges().every(({ authorization }) => authorization === "")).toBe(true);
    elsewhere.misbehave();
    await daemon.ok("logout", registry.host);
  }, 30_000);

  test.each([
    ["to a file", "file:///etc/passwd", /file:/],
    ["to no address at all", "http://[", /redirected to "http:\/\/\["/],
    ["to a server that is not there", "http://127.0.0.1:5599/x", /connection refused/],
    ["to a name that nobody knows", "http://registry.invalid/x", /no such host|cannot be reached/],
  ])("%s is refused", async (_, location, says) => {
    const image = scene.image();
    scene.misbehave(manifestRule(image, { status: 302, body: "", headers: { location } }));
    expect(await scene.refusal(image.reference)).toMatch(says);
  });
});
