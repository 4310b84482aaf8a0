import { expect, test } from "bun:test";
import type { ImageManifestSummary, ImageSummary } from "../api/schema/image.ts";
import { imageTree } from "./image-tree.ts";

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;

function manifest(digit: string, architecture: string, fields: Partial<ImageManifestSummary> = {}) {
  return {
    ID: digest(digit),
    Descriptor: { mediaType: "m", digest: digest(digit), size: 1 },
    Available: true,
    Size: { Content: 1_000_000, Total: 3_500_000 },
    Kind: "image",
    ImageData: { Platform: { os: "linux", architecture }, Containers: [], Size: { Unpacked: 2_500_000 } },
    ...fields,
  } satisfies ImageManifestSummary;
}

function image(digit: string, RepoTags: string[], Manifests: ImageManifestSummary[], Containers = 0): ImageSummary {
  const numbers = { Created: 0, Size: 4_500_000, SharedSize: -1, Containers };
  return { Id: digest(digit), ParentId: "", RepoTags, RepoDigests: [], Labels: {}, Manifests, ...numbers };
}

const plain = { columns: undefined, hasColour: false };

test("images come by name, those without one last, each with its platforms and an empty line", () => {
  const used = manifest("2", "amd64", {
    ImageData: { Platform: { os: "linux", architecture: "amd64" }, Containers: ["c"], Size: { Unpacked: 1 } },
  });
  const attestation = manifest("3", "unknown", { Kind: "attestation" });
  const images = [
    image("9", [], [manifest("8", "arm")]),
    image("1", ["b:1", "b:2"], [used, manifest("4", "arm64", { Available: false }), attestation]),
    image("5", ["a:latest"], [manifest("5", "amd64")], 1),
  ];
  expect(imageTree(images, plain)).toBe(
    [
      "IMAGE                ID             DISK USAGE   CONTENT SIZE   EXTRA",
      "a:latest             555555555555        4.5MB            1MB   U    ",
      "└─ linux/amd64       555555555555        3.5MB            1MB        ",
      "",
      "b:1               ",
      "b:2                  111111111111        4.5MB            2MB   U    ",
      "├─ linux/amd64       222222222222        3.5MB            1MB   U    ",
      "└─ linux/arm64       444444444444        3.5MB            1MB        ",
      "",
      "<untagged>           999999999999        4.5MB            1MB        ",
      "└─ linux/arm         888888888888        3.5MB            1MB        ",
      "",
      "",
    ].join("\n"),
  );
});

test("a narrow terminal gets shorter names, and colours where they are wanted", () => {
  const images = [image("1", ["registry.example/a/very/long/name:latest"], [])];
  const narrow = imageTree(images, { columns: 80, hasColour: false });
  expect(narrow.split("\n")[1]).toStartWith("registry.example/a/very/long…   111111111111");
  for (const line of narrow.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  expect(imageTree(images, { columns: 20, hasColour: false }).split("\n")[1]).toStartWith("registry.ex…   1111");
  const coloured = imageTree(images, { columns: 120, hasColour: true });
  expect(coloured).toContain("\x1b[1mIMAGE");
  expect(coloured).toContain("\x1b[1;34mregistry.example");
});

test("nothing to show is a header", () => {
  expect(imageTree([], plain)).toBe("IMAGE   ID             DISK USAGE   CONTENT SIZE   EXTRA\n");
});
