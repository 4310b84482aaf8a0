/** Pulls from registries that are broken or mean harm: refused in words that name the object, and nothing is left. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { archive } from "../../src/tar/tar-fixture.ts";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { HostileRegistry, type ImageOptions, noise } from "./hostile-registry.ts";
import type { Rule } from "./registry-server.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;
let count = 0;

const random = noise(200_000);

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

afterEach(async () => {
  registry.misbehave();
  expect(await daemon.ok("images", "-aq")).toBe("");
  const snapshots = join(daemon.root, "snapshots");
  const left = () => readdirSync(snapshots).filter((name) => name.startsWith("partial"));
  await until("no partial snapshot", () => left().length === 0);
});

function image(options: ImageOptions = {}) {
  count += 1;
  // Nothing in common with the images of other tests: what is stored already would not be asked for.
  const layer = archive([{ name: `bin${count}/` }, { name: `bin${count}/file`, data: random }]);
  return registry.addImage(`image${count}`, [layer], { cmd: [String(count)], ...options });
}

async function refused(reference: string, message: RegExp, flags: string[] = []): Promise<void> {
  const { status, stdout, stderr } = await daemon.tsd(["pull", ...flags, reference]);
  const said = stderr.replace(/^hint: .*\n/gm, "").trimEnd();
  expect([status, said.split("\n").at(-1)]).toEqual([1, expect.stringMatching(message)]);
  expect(stdout).not.toContain("Status:");
}

const hex = "[0-9a-f]{12,64}";

test("a manifest that is not the one of the digest is refused", async () => {
  const { manifest, reference } = image();
  registry.misbehave({
    path: `/manifests/${manifest.digest}$`,
    body: '{"schemaVersion":2}',
    headers: { "content-type": manifest.mediaType },
  });
  await refused(`${reference}@${manifest.digest}`, new RegExp(`manifest has digest sha256:${hex}.*${manifest.digest}`));
});

describe("a layer", () => {
  test.each([
    ["with other content", (size: number) => ({ body: "x".repeat(size) }), /sha256:\S+ .*(verification failed|digest)/],
    ["that is too short", (size: number) => ({ truncate: size - 1000 }), /truncated: got \d+ of \d+ bytes/],
    ["that is too long", () => ({ append: 5000 }), /more than the \d+ bytes/],
    ["that is not there", () => ({ status: 404, body: "{}" }), /sha256:/],
  ] as [string, (size: number) => Omit<Rule, "path">, RegExp][])("%s is refused", async (_, rule, message) => {
    const { layers, reference } = image({ compression: "none" });
    registry.misbehave({ path: `/blobs/${layers[0]!.digest}$`, ...rule(layers[0]!.size) });
    await refused(reference, message);
    expect(existsSync(join(daemon.root, "content/blobs/sha256", layers[0]!.digest.slice(7)))).toBe(false);
  });

  test("that is not what the configuration says is refused", async () => {
    const other = `sha256:${"0".repeat(64)}`;
    const { reference } = image({
      editConfig: (config) => {
        config.rootfs = { type: "layers", diff_ids: [other] };
      },
    });
    await refused(reference, new RegExp(`layer has diff id sha256:${hex}, the configuration says ${other}`));
  });

  test("of a kind that nobody knows is refused", async () => {
    const { reference } = image({
      editManifest: ({ layers }) => {
        layers[0]!.mediaType = "application/vnd.example.layer";
      },
    });
    await refused(reference, /unsupported media type "application\/vnd\.example\.layer"/);
  });

  test("that inflates without end is stopped by what its header says, and one that is no archive is refused", async () => {
    const html = Buffer.from("<html>".repeat(200));
    const { reference } = image({
      editManifest: ({ layers }) => {
        layers[0] = registry.addBlob(html, "application/vnd.oci.image.layer.v1.tar");
      },
    });
    await refused(reference, /not a tar archive/);
  });
});

describe("a configuration", () => {
  test("that is missing is refused by its digest", async () => {
    const { config, reference } = image();
    registry.misbehave({ path: `/blobs/${config.digest}$`, status: 404, body: "{}" });
    await refused(reference, new RegExp(config.digest));
  });

  test("that is no JSON is refused", async () => {
    const { reference } = image({
      editManifest: (manifest) => {
        manifest.config = registry.addBlob(Buffer.from("not json"), manifest.config.mediaType);
      },
    });
    await refused(reference, /configuration.*(JSON|json)/);
  });

  test("of another platform is refused when one is asked for", async () => {
    const { reference } = image({ architecture: "arm64" });
    await refused(reference, /linux\/arm64.*does not match.*linux\/amd64/, ["--platform", "linux/amd64"]);
  });
});

describe("a registry", () => {
  test("that does not know the image says so", async () => {
    await refused(`${registry.host}/nobody:here`, /manifest for \S+nobody:here not found: manifest unknown/);
  });

  test("that answers with a page in place of a manifest is refused", async () => {
    const { reference } = image();
    registry.misbehave({ path: "/manifests/", body: "<html>login</html>", headers: { "content-type": "text/html" } });
    await refused(reference, /(text\/html|manifest)/);
  });

  test("that redirects in a circle is refused", async () => {
    const { reference } = image();
    registry.misbehave({
      path: "/manifests/",
      status: 302,
      headers: { location: `http://${registry.host}/v2/x/manifests/latest` },
    });
    await refused(reference, /redirect/);
  });

  test("whose tokens cannot be had says which address failed", async () => {
    const { reference } = image();
    registry.misbehave(
      { path: "^/token", status: 500, body: "out of order" },
      {
        path: "/manifests/",
        status: 401,
        body: "{}",
        headers: { "www-authenticate": `Bearer realm="http://${registry.host}/token",service="x"` },
      },
    );
    await refused(reference, new RegExp(`${registry.host}/token.*500`));
  });

  test("that wants a password says so", async () => {
    const { reference } = image();
    registry.misbehave({
      path: "/manifests/",
      status: 401,
      body: "{}",
      headers: { "www-authenticate": 'Basic realm="x"' },
    });
    await refused(reference, /no basic auth credentials/);
  });

  test("that is down is named with its address", async () => {
    await refused("127.0.0.1:5599/image", /127\.0\.0\.1:5599.*connect.*refused/i);
  });

  test("whose name nobody knows is named", async () => {
    await refused("registry.invalid/image", /registry\.invalid/);
  });

  test("that fails is asked again, and then named with its status", async () => {
    const { layers, reference } = image();
    registry.misbehave({ path: `/blobs/${layers[0]!.digest}$`, status: 503, body: "{}" });
    await refused(reference, /503/);
  });

  test("that is slow keeps nobody who wants to leave", async () => {
    const { layers, reference } = image({ compression: "none" });
    registry.misbehave({ path: `/blobs/${layers[0]!.digest}$`, pieceBytes: 1000, pauseMs: 50 });
    const client = Bun.spawn([tsd, "pull", reference], {
      env: { ...process.env, ...daemon.env },
      stdout: "pipe",
      stderr: "pipe",
    });
    const lines = (start: string) =>
      registry.requests().filter((line) => line.startsWith(start) && line.includes(layers[0]!.digest));
    await until("the layer is asked for", () => lines("GET").length > 0);
    client.kill("SIGINT");
    const status = await client.exited;
    expect([130, 1]).toContain(status);
    await until("the daemon has let go of the registry", () => lines("LEFT").length > 0);
  });
});

test("an index without the platform is refused with those that it has", async () => {
  const { manifest } = image({ architecture: "arm64" });
  const reference = registry.addIndex(`index${count}`, [
    { ...manifest, platform: { os: "linux", architecture: "arm64" } },
  ]);
  await refused(reference, /linux\/amd64.*available: linux\/arm64/);
});

test.each([
  ["Registry/Image", /must be lowercase/],
  ["registry/image:bad tag", /invalid reference/],
  ["image@sha256:123", /invalid|digest/],
])("the reference %j is refused", async (reference, message) => {
  await refused(reference, message);
});
