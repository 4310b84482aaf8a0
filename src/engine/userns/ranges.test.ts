import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostFiles } from "./host-files.ts";
import { UserRanges } from "./ranges.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-ranges-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function withFiles(files: Record<string, string>, root = "/var/lib/tsd"): UserRanges {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return new UserRanges(new HostFiles(directory), root);
}

function overlap(a: { start: number; size: number }, b: { start: number; size: number }): boolean {
  return a.start < b.start + b.size && b.start < a.start + a.size;
}

describe("users of containers' own", () => {
  test("are different ones for each container, aligned, above those of useradd and within systemd's for containers", () => {
    const ranges = withFiles({});
    const taken = ["a", "b", "c"].map((container) => ranges.take(container, 65536));
    for (const range of taken) {
      expect(range.size).toBe(65536);
      expect(range.start % 65536).toBe(0);
      expect(range.start).toBeGreaterThan(600_100_000);
      expect(range.start + range.size).toBeLessThanOrEqual(1_879_048_192);
      expect(taken.filter((other) => overlap(range, other))).toEqual([range]);
    }
  });

  test("leave out what the host's files have", () => {
    const first = withFiles({}).take("a", 65536).start;
    const [uid, gid] = [first - 60_000, first - 65537];
    const ranges = withFiles({
      subuid: `somebody:${first}:1000\n`,
      passwd: `high:x:${uid}:1::/:/bin/sh\n`,
      subgid: `another:${gid}:1\n`,
    });
    expect(ranges.take("a", 65536).start).toBe(first - 3 * 65536);
  });

  test("are given out again once all others were used", () => {
    const ranges = withFiles({ subuid: "containers:5000:30\n", subgid: "containers:5000:30\n" });
    const starts = ["a", "b", "c"].map((container) => ranges.take(container, 10).start);
    expect(starts).toEqual([5020, 5010, 5000]);
    ranges.release("a");
    ranges.release("b");
    expect(ranges.take("d", 10).start).toBe(5020);
    expect(ranges.take("e", 10).start).toBe(5010);
    ranges.release("c");
    ranges.release("d");
    expect(ranges.take("f", 10).start).toBe(5000);
  });

  test("come from what is set aside for containers, as users and as groups", () => {
    const ranges = withFiles({
      subuid: "containers:1000:100\nother:1050:10\ncontainers:9000:100\n",
      subgid: "containers:1080:8000\n",
    });
    expect([ranges.take("a", 80), ranges.take("b", 20)]).toEqual([
      { start: 9000, size: 80 },
      { start: 1080, size: 20 },
    ]);
    expect(() => ranges.take("c", 20)).toThrow(
      `no range of 20 users and groups is free in what ${directory}/subuid and ${directory}/subgid set aside for ` +
        "containers: 2 containers have some of 100",
    );
  });

  test("are none where the two files have nothing in common", () => {
    const ranges = withFiles({ subuid: "containers:1000:100\n" });
    expect(() => ranges.take("a", 1)).toThrow("0 containers have some of 0");
  });

  test("that are on record are taken", () => {
    const ranges = withFiles({ subuid: "containers:1000:100\n", subgid: "containers:1000:100\n" });
    ranges.hold("a", { start: 1040, size: 50 });
    expect(ranges.take("b", 20).start).toBe(1020);
    expect(ranges.take("c", 10).start).toBe(1010);
    expect(ranges.take("d", 10).start).toBe(1000);
    expect(ranges.take("e", 10).start).toBe(1090);
    expect(() => ranges.take("f", 1)).toThrow("5 containers have some of 100");
  });

  test("are taken until the last of those is gone that share them", () => {
    const ranges = withFiles({ subuid: "containers:1000:10\n", subgid: "containers:1000:10\n" });
    ranges.hold("b", ranges.take("a", 10));
    ranges.release("a");
    expect(() => ranges.take("c", 10)).toThrow("no range of 10 users and groups is free");
    ranges.release("b");
    expect(ranges.take("c", 10).start).toBe(1000);
  });

  test("begin elsewhere with another daemon", () => {
    const [one, other] = ["/var/lib/tsd", "/srv/tsd"].map((root) => withFiles({}, root).take("a", 65536));
    expect(overlap(one!, other!)).toBe(false);
  });
});
