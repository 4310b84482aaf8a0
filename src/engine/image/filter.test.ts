import { describe, expect, test } from "bun:test";
import type { ImageSummary } from "../../image/image.ts";
import { filterImages, type ImageFilters } from "./filter.ts";

function image(name: string, fields: Partial<ImageSummary> = {}): ImageSummary {
  return {
    id: `sha256:${"0".repeat(64)}`,
    repoTags: [`${name}:latest`],
    repoDigests: [`${name}@sha256:${"0".repeat(64)}`],
    manifestDigest: `sha256:${"0".repeat(64)}`,
    mediaType: "m",
    documentBytes: 1,
    platform: { os: "linux", architecture: "amd64" },
    sizeBytes: 1,
    layers: [],
    createdAt: "2024-01-02T03:04:05.5Z",
    labels: {},
    ...fields,
  };
}

const images = [
  image("old", { createdAt: "2020-01-01T00:00:00Z", labels: { team: "red" } }),
  image("same", { createdAt: "2024-01-02T03:04:05.4Z" }),
  image("new", { labels: { team: "blue", extra: "" }, repoTags: ["new:latest", "new:v1", "other/new:v1"] }),
  image("timeless", { createdAt: undefined }),
  image("", { repoTags: [], repoDigests: [], createdAt: "2023-01-01T00:00:00Z" }),
  image("untagged", { repoTags: [] }),
];

function names(filters: ImageFilters): string[] {
  const found = filterImages(images, filters, (name) => images.find((one) => one.repoTags[0] === name)?.createdAt);
  return found.map(({ repoTags, repoDigests }) => repoTags.join(" ") || repoDigests[0] || "none");
}

const untagged = `untagged@sha256:${"0".repeat(64)}`;

describe("a list of images is filtered", () => {
  test("by name, with patterns over the whole and over the name alone, and shows the names that match", () => {
    expect(names({ reference: ["new"] })).toEqual(["new:latest new:v1"]);
    expect(names({ reference: ["*:v1", "*/*:v1"] })).toEqual(["new:v1 other/new:v1"]);
    expect(names({ reference: ["*/new"] })).toEqual(["other/new:v1"]);
    expect(names({ reference: ["untag*"] })).toEqual([untagged]);
    expect(names({ reference: ["nothing"] })).toEqual([]);
    expect(() => names({ reference: ["[a"] })).toThrow("invalid filter 'reference=[a': syntax error in pattern");
  });

  test("by age, to the fraction of a second; what has no date is neither older nor newer", () => {
    expect(names({ before: ["new:latest"] })).toEqual(["old:latest", "same:latest", "none"]);
    expect(names({ since: ["same:latest"] })).toEqual(["new:latest new:v1 other/new:v1", untagged]);
    expect(names({ since: ["old:latest"], before: ["same:latest"] })).toEqual(["none"]);
    expect(names({ until: ["2021-01-01"] })).toEqual(["old:latest", "timeless:latest"]);
    expect(names({ until: ["1600000000"] })).toEqual(["old:latest", "timeless:latest"]);
    expect(names({ until: ["0s"] })).toHaveLength(images.length);
    expect(() => names({ until: ["yesterday"] })).toThrow("invalid filter 'until=yesterday'");
  });

  test("by labels that are there, and that are not", () => {
    expect(names({ label: ["team"] })).toEqual(["old:latest", "new:latest new:v1 other/new:v1"]);
    expect(names({ label: ["team=red"] })).toEqual(["old:latest"]);
    expect(names({ label: ["team", "extra="] })).toEqual(["new:latest new:v1 other/new:v1"]);
    expect(names({ "label!": ["team=red"] })).not.toContain("old:latest");
    expect(names({ "label!": ["team"] })).toEqual(["same:latest", "timeless:latest", "none", untagged]);
  });

  test("by having a name", () => {
    expect(names({ dangling: ["true"] })).toEqual(["none"]);
    expect(names({ dangling: ["0"] })).not.toContain("none");
  });

  test("by nothing else", () => {
    expect(() => names({ colour: ["red"] })).toThrow("invalid filter 'colour'");
  });
});
