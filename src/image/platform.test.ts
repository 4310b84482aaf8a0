import { describe, expect, test } from "bun:test";
import type { Descriptor, Platform } from "../oci/image.ts";
import { formatPlatform, normalise, parsePlatform, satisfies, selectManifest } from "./platform.ts";

function manifestFor(...platforms: (Platform | undefined)[]): Descriptor[] {
  return platforms.map((platform, index) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: `sha256:${String(index).padStart(64, "0")}`,
    size: 1,
    ...(platform && { platform }),
  }));
}

const amd64: Platform = { os: "linux", architecture: "amd64" };
const armv5: Platform = { os: "linux", architecture: "arm", variant: "v5" };
const armv7: Platform = { os: "linux", architecture: "arm", variant: "v7" };

describe("platforms", () => {
  test.each([
    ["linux/amd64", "linux/amd64"],
    ["linux/x86_64", "linux/amd64"],
    ["linux/amd64/v1", "linux/amd64"],
    ["linux/amd64/v3", "linux/amd64/v3"],
    ["linux/arm64", "linux/arm64"],
    ["linux/aarch64/v8", "linux/arm64"],
    ["LINUX/ARM64/8", "linux/arm64"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/armel", "linux/arm/v6"],
    ["linux/arm/v6", "linux/arm/v6"],
    ["arm64", "linux/arm64"],
    ["windows/amd64", "windows/amd64"],
  ])("%s is read as %s", (text, expected) => {
    expect(formatPlatform(parsePlatform(text))).toBe(expected);
  });

  test("an operating system alone takes the host's architecture", () => {
    expect(parsePlatform("windows").architecture).toBe(parsePlatform("linux").architecture);
  });

  test.each(["", "/", "linux/", "a/b/c/d", "linux/amd 64", "linux//v7"])("%j is refused", (text) => {
    expect(() => parsePlatform(text)).toThrow("invalid platform");
  });

  test("an older variant runs on a newer one, and not the other way round", () => {
    expect(satisfies(armv5, armv7)).toBe(true);
    expect(satisfies(armv7, armv5)).toBe(false);
    expect(satisfies(amd64, { ...amd64, variant: "v3" })).toBe(true);
    expect(satisfies({ ...amd64, variant: "v3" }, amd64)).toBe(false);
    expect(satisfies(amd64, armv7)).toBe(false);
    expect(satisfies({ ...amd64, os: "windows" }, amd64)).toBe(false);
  });

  test("an index's nearest variant is chosen", () => {
    const manifests = manifestFor(armv5, { ...armv5, variant: "v6" }, amd64, {
      os: "unknown",
      architecture: "unknown",
    });
    expect(selectManifest(manifests, armv7, "x")).toBe(manifests[1]!);
    expect(selectManifest(manifests, armv5, "x")).toBe(manifests[0]!);
    expect(selectManifest(manifests, { ...amd64, variant: "v2" }, "x")).toBe(manifests[2]!);
  });

  test("an index without the platform is refused with those it has", () => {
    const manifests = manifestFor(amd64, armv7, amd64, { os: "unknown", architecture: "unknown" });
    expect(() => selectManifest(manifests, { os: "linux", architecture: "s390x" }, "busybox:latest")).toThrow(
      "no matching manifest for linux/s390x in the manifest list entries of busybox:latest: available: linux/amd64, linux/arm/v7",
    );
    expect(() => selectManifest([], amd64, "x")).toThrow("available: none");
  });

  test("a single manifest without a platform is taken as it is", () => {
    const manifests = manifestFor(undefined);
    expect(selectManifest(manifests, amd64, "x")).toBe(manifests[0]!);
    expect(() => selectManifest(manifestFor(undefined, undefined), amd64, "x")).toThrow("no matching manifest");
  });

  test("normalising keeps other fields", () => {
    expect(normalise({ ...amd64, "os.version": "10" })).toEqual({ ...amd64, "os.version": "10" });
  });
});
