import { expect, test } from "bun:test";
import type { Image } from "../../image/image.ts";
import type { ImageHistory } from "../../oci/image.ts";
import { historyOf } from "./history.ts";

const id = `sha256:${"1".repeat(64)}`;

function history(steps: ImageHistory[] | undefined, layerBytes: number[], names = ["docker.io/library/a:1"]) {
  return historyOf({ id, names, config: { history: steps } } as unknown as Image, layerBytes);
}

test("the newest step comes first, with the image's id and names, and each layer's size is its step's", () => {
  const steps = [
    { created: "2024-01-01T00:00:00Z", created_by: "ADD", comment: "c" },
    { created_by: "ENV", empty_layer: true },
    { created: "2024-01-02T00:00:00.9Z", created_by: "RUN" },
  ];
  expect(history(steps, [10, 20])).toEqual([
    { Id: id, Created: 1_704_153_600, CreatedBy: "RUN", Tags: ["a:1"], Size: 20, Comment: "" },
    { Id: "<missing>", Created: 0, CreatedBy: "ENV", Tags: null, Size: 0, Comment: "" },
    { Id: "<missing>", Created: 1_704_067_200, CreatedBy: "ADD", Tags: null, Size: 10, Comment: "c" },
  ]);
});

test("a history that has more steps than layers, or none, or a date that is none, is borne", () => {
  expect(history([{ created: "never" }, {}], [5]).map(({ Size, Created }) => [Size, Created])).toEqual([
    [0, 0],
    [5, 0],
  ]);
  expect(history(undefined, [5])).toEqual([]);
  expect(history([{}], [], [])[0]!.Tags).toBeNull();
});
