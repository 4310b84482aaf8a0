import { describe, expect, test } from "bun:test";
import { chunkBytes, IngestMap } from "./ingest-map.ts";

const size = 3 * chunkBytes + 100;
const boot = "0ae5b6a0-6b1f-4a3c-9d0e-6f1d2c3b4a59";

function made(): IngestMap {
  const map = new IngestMap(size);
  map.fill(0, chunkBytes);
  map.fill(chunkBytes, 10);
  map.fill(3 * chunkBytes, 100);
  return map;
}

describe("a map of a partial blob", () => {
  test("knows how far the blob is there, and what is missing", () => {
    const map = made();
    expect(map.present).toBe(chunkBytes + 110);
    expect(map.front).toBe(chunkBytes + 10);
    expect(map.gap(new Set(), 1)).toEqual({ start: chunkBytes + 10, end: 2 * chunkBytes });
    expect(map.gap(new Set(), size)).toEqual({ start: chunkBytes + 10, end: 3 * chunkBytes });
    expect(map.gap(new Set([1]), size)).toEqual({ start: 2 * chunkBytes, end: 3 * chunkBytes });
    expect(map.gap(new Set([1, 2]), size)).toBeUndefined();
    map.fill(chunkBytes + 10, chunkBytes - 10);
    map.fill(2 * chunkBytes, chunkBytes);
    expect([map.isWhole, map.front, map.gap(new Set(), size)]).toEqual([true, size, undefined]);
  });

  test("refuses bytes behind a gap, and more than a chunk has room for", () => {
    expect(() => made().fill(chunkBytes + 11, 1)).toThrow(RangeError);
    expect(() => made().fill(chunkBytes + 10, chunkBytes)).toThrow(RangeError);
    expect(() => made().fill(3 * chunkBytes + 100, 1)).toThrow(RangeError);
  });

  test("is read back as it was, after a killed process", () => {
    const back = IngestMap.parse(made().format(boot), size, boot, size);
    expect([back?.present, back?.front]).toEqual([chunkBytes + 110, chunkBytes + 10]);
  });

  test("counts after a reboot what was on the disk, and nothing else", () => {
    const map = made();
    map.markDurable(map.snapshot());
    map.fill(chunkBytes + 10, 500);
    map.fill(2 * chunkBytes, 7);
    const back = IngestMap.parse(map.format(boot), size, boot.replace("0", "1"), size);
    expect([back?.present, back?.front]).toEqual([chunkBytes + 110, chunkBytes + 10]);
  });

  test("believes no more than the file has", () => {
    const back = IngestMap.parse(made().format(boot), size, boot, 1000);
    expect([back?.present, back?.front]).toEqual([1000, 1000]);
  });

  test("is changed in place, an entry at a time", () => {
    const map = made();
    const file = Buffer.from(map.format(boot));
    map.fill(chunkBytes + 10, 90);
    const { bytes, position } = map.entry(chunkBytes + 10);
    file.set(bytes, position);
    expect(IngestMap.parse(file, size, boot, size)?.front).toBe(chunkBytes + 100);
  });

  test.each([
    ["nothing", new Uint8Array()],
    ["another file", Buffer.alloc(10_000, "x")],
    ["a map that is cut off", made().format(boot).subarray(0, 70)],
    ["a map of a blob of another size", new IngestMap(size + 1).format(boot)],
  ])("is no use from %s", (_, bytes) => {
    expect(IngestMap.parse(bytes, size, boot, size)).toBeUndefined();
  });

  test("of an empty blob is whole", () => {
    const map = new IngestMap(0);
    expect([map.isWhole, map.front]).toEqual([true, 0]);
  });
});
