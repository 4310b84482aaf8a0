/** Against Debian's docker-registry and skopeo: what another tool pushes is pulled, and what is stored another tool reads. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { digestHex, digestOf } from "../core/digest.ts";
import { mediaTypes } from "../oci/image.ts";
import { archive } from "../tar/tar-fixture.ts";
import { isRoot, useStore } from "./store-fixture.ts";

const isPossible = isRoot && Bun.which("docker-registry") !== null && Bun.which("skopeo") !== null;
const fixture = useStore();
let base: string;
let address: string;
let server: Bun.Subprocess;

beforeAll(async () => {
  if (!isPossible) return;
  base = mkdtempSync("/var/tmp/tsd-registry-");
  address = `127.0.0.1:${await freePort()}`;
  const configuration = join(base, "config.yml");
  const storage = `storage: {filesystem: {rootdirectory: ${base}/data}}`;
  writeFileSync(configuration, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: "${address}"}\n`);
  server = Bun.spawn(["docker-registry", "serve", configuration], { stdout: "ignore", stderr: "ignore" });
  writeLayout(join(base, "gzip"), gzipSync, mediaTypes.ociLayerGzip);
  writeLayout(join(base, "zstd"), zstdCompressSync, mediaTypes.ociLayerZstd);
  for (let tries = 0; !(await answers()); tries++) {
    if (tries > 100) throw new Error("docker-registry does not start");
    await Bun.sleep(50);
  }
});
afterAll(async () => {
  if (!isPossible) return;
  server.kill();
  await server.exited;
  rmSync(base, { recursive: true });
});

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address() as { port: number };
    probe.close(() => resolve(port));
  });
  return promise;
}

async function answers(): Promise<boolean> {
  try {
    return (await fetch(`http://${address}/v2/`)).ok;
  } catch {
    return false;
  }
}

/** A one-layer image as an OCI layout, of the name `image`. */
function writeLayout(path: string, compress: (bytes: Uint8Array) => Uint8Array, layerType: string): void {
  mkdirSync(join(path, "blobs/sha256"), { recursive: true });
  const put = (bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    writeFileSync(join(path, "blobs/sha256", digestHex(digest)), bytes);
    return { digest, size: bytes.length };
  };
  const layer = archive([{ name: "etc/" }, { name: "etc/motd", data: "hello\n".repeat(1000) }]);
  const config = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digestOf(layer)] } };
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, ...put(Buffer.from(JSON.stringify(config))) },
    layers: [{ mediaType: layerType, ...put(compress(layer)) }],
  };
  const annotations = { "org.opencontainers.image.ref.name": "image" };
  const entry = { mediaType: mediaTypes.ociManifest, ...put(Buffer.from(JSON.stringify(manifest))), annotations };
  writeFileSync(join(path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  writeFileSync(join(path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

function skopeo(...args: string[]): string {
  const run = Bun.spawnSync(["skopeo", ...args]);
  expect(run.stderr.toString()).toBe("");
  return run.stdout.toString();
}

describe.skipIf(!isPossible)("a real registry", () => {
  function push(layout: string, format: string): string {
    const name = `${address}/test/${layout}:${format}`;
    const source = `oci:${join(base, layout)}:image`;
    skopeo("copy", "-q", "--dest-tls-verify=false", "--format", format, source, `docker://${name}`);
    return name;
  }

  test.each([
    ["gzip", "oci", mediaTypes.ociLayerGzip],
    ["zstd", "oci", mediaTypes.ociLayerZstd],
    ["gzip", "v2s2", mediaTypes.dockerLayerGzip],
  ])("serves what another tool pushed, with %s in format %s", async (layout, format, layerType) => {
    const image = await fixture.store.pull(push(layout, format));
    expect(image.manifest.layers[0]!.mediaType).toBe(layerType);
    const [root] = fixture.store.layers.paths(image.chainId!);
    expect(readFileSync(join(root!, "etc/motd"), "utf8")).toBe("hello\n".repeat(1000));
  });

  test.each(["gzip", "zstd"])("is not needed by another tool that reads the store (%s)", async (layout) => {
    const name = push(layout, "oci");
    const image = await fixture.store.pull(name);
    const stored = `oci:${join(fixture.root, "content")}:${name}`;
    expect(digestOf(skopeo("inspect", "--raw", stored))).toBe(image.id);
    skopeo("copy", "-q", stored, `dir:${join(base, `${layout}-copy`)}`);
    const { digest } = image.manifest.layers[0]!;
    expect(digestOf(readFileSync(join(base, `${layout}-copy`, digestHex(digest))))).toBe(digest);
  });

  test("says what it does not have", async () => {
    await expect(fixture.store.pull(`${address}/test/none:x`)).rejects.toThrow(
      `manifest for ${address}/test/none:x not found: manifest unknown: manifest unknown`,
    );
  });
});
