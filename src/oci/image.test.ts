import { describe, expect, test } from "bun:test";
import { digestOf } from "../core/digest.ts";
import { parseRegistryErrors, parseToken } from "./distribution.ts";
import { mediaTypes, parseImageConfig, parseManifest } from "./image.ts";

const descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf("x"), size: 1 };
const manifest = {
  schemaVersion: 2,
  config: descriptor,
  layers: [{ ...descriptor, mediaType: mediaTypes.ociLayerGzip }],
};
const index = { schemaVersion: 2, manifests: [{ ...descriptor, mediaType: mediaTypes.ociManifest }] };

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

describe("manifests", () => {
  test("are told from indexes by media type, in both dialects, and unknown fields are kept", () => {
    expect(parseManifest(bytes({ ...manifest, extra: 1 }), mediaTypes.ociManifest, "m")).toMatchObject({
      kind: "manifest",
      manifest: { extra: 1 },
    });
    expect(parseManifest(bytes(manifest), mediaTypes.dockerManifest, "m").kind).toBe("manifest");
    expect(parseManifest(bytes(index), mediaTypes.ociIndex, "m").kind).toBe("index");
    expect(parseManifest(bytes(index), mediaTypes.dockerIndex, "m").kind).toBe("index");
  });

  test.each([
    ["not JSON", "<html>", mediaTypes.ociManifest, "m: not JSON"],
    ["not an object", "[]", mediaTypes.ociManifest, "m: not a JSON object"],
    ["another type", manifest, "application/vnd.docker.distribution.manifest.v1+prettyjws", "unsupported media type"],
    ["a type that contradicts", { ...manifest, mediaType: mediaTypes.ociIndex }, mediaTypes.ociManifest, "says it is"],
    ["an index with layers", { ...index, layers: [] }, mediaTypes.ociIndex, "of an index and of a manifest"],
    [
      "a manifest with manifests",
      { ...manifest, manifests: [] },
      mediaTypes.ociManifest,
      "of an index and of a manifest",
    ],
    ["schema 1", { ...manifest, schemaVersion: 1 }, mediaTypes.dockerManifest, "m: schemaVersion"],
    ["no configuration", { schemaVersion: 2, layers: [] }, mediaTypes.ociManifest, "m: config"],
    [
      "a digest that walks the file system",
      { ...manifest, layers: [{ ...descriptor, digest: "sha256:../../etc/passwd" }] },
      mediaTypes.ociManifest,
      "m: layers.0.digest",
    ],
    ["a negative size", { ...manifest, config: { ...descriptor, size: -1 } }, mediaTypes.ociManifest, "m: config.size"],
    [
      "a fraction of a byte",
      { ...manifest, config: { ...descriptor, size: 0.5 } },
      mediaTypes.ociManifest,
      "m: config.size",
    ],
  ])("with %s are refused", (_name, document, mediaType, message) => {
    expect(() => parseManifest(bytes(document), mediaType, "m")).toThrow(message);
  });
});

describe("configurations", () => {
  const config = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digestOf("x")] } };

  test("bear the nulls that docker writes", () => {
    const read = parseImageConfig(bytes({ ...config, config: { Entrypoint: null, Env: ["A=1"], Labels: null } }), "c");
    expect(read.config).toEqual({ Entrypoint: null, Env: ["A=1"], Labels: null });
  });

  test("are refused with the field that is wrong", () => {
    expect(() => parseImageConfig(bytes({ ...config, config: { Env: "A=1" } }), "c")).toThrow("c: config.Env");
    expect(() => parseImageConfig(bytes({ ...config, rootfs: { type: "layers", diff_ids: ["x"] } }), "c")).toThrow(
      "c: rootfs.diff_ids.0",
    );
    expect(() => parseImageConfig(bytes({}), "c")).toThrow("c: os");
  });
});

describe("registries' answers", () => {
  test("errors are read where there are any", () => {
    const body = JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown", detail: {} }] });
    expect(parseRegistryErrors(body)).toMatchObject([{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }]);
    expect(parseRegistryErrors('{"errors":[{"code":"DENIED"}]}')).toMatchObject([{ code: "DENIED", message: "" }]);
    for (const other of ["", "<html>", "{}", '{"errors":"x"}', "null"]) expect(parseRegistryErrors(other)).toEqual([]);
  });

  test("tokens are read under both names and live a minute at least", () => {
    expect(parseToken('{"token":"a","expires_in":300}')).toEqual({
      token: "a",
      expiresInSeconds: 300,
      refreshToken: undefined,
    });
    expect(parseToken('{"access_token":"b","expires_in":1}')).toEqual({
      token: "b",
      expiresInSeconds: 60,
      refreshToken: undefined,
    });
    for (const other of ["", "{}", '{"token":""}', '{"token":1}']) expect(parseToken(other)).toBeUndefined();
  });
});
