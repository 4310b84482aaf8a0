import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BlockEncoder, BlockReader, blockHeadBytes, endOfBlocks, pageBytes, type Run } from "./local-format.ts";

const directory = mkdtempSync("/var/tmp/tsd-local-format-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Block {
  stream: string;
  time: bigint;
  text: string;
  details: string;
  open: boolean;
  records: number;
}

/** The blocks of a whole file, as a reader sees them that passes over what it cannot read. */
function blocksOf(file: Uint8Array): Block[] {
  const reader = new BlockReader();
  reader.load(file, 0);
  const blocks: Block[] = [];
  for (;;) {
    const found = reader.next();
    if (found === "more") return blocks;
    if (found === "skip") continue;
    const { stream, time, open, records, textFrom, textTo, detailsFrom, detailsTo } = reader;
    const text = Buffer.from(file.subarray(textFrom, textTo)).toString();
    const details = Buffer.from(file.subarray(detailsFrom, detailsTo)).toString();
    blocks.push({ stream, time, text, details, open, records });
  }
}

function run(text: string, options: Partial<Run> = {}): Run {
  return { stream: "stdout", time: 1_700_000_000_123_456_789n, text: Buffer.from(text), ...options };
}

/** A file of all these runs. */
function encode(...runs: Run[]): Uint8Array {
  const encoder = new BlockEncoder(16);
  for (const one of runs) {
    expect(encoder.encode(one, 0, encoder.encoded.length, Number.POSITIVE_INFINITY)).toBe(one.text.length);
  }
  return encoder.encoded.slice();
}

const textOf = (blocks: Block[]) => blocks.map((block) => block.text).join("");

describe("the local log's format", () => {
  test("gives back streams, times, details and pieces, at 12 bytes a block", () => {
    const details = Buffer.from("a=b,c=d");
    const file = encode(
      run("one\ntwo\n"),
      run("oops\n", { stream: "stderr", time: -5n }),
      run("piece", { details }),
      run("\nend\n", { details }),
    );
    expect(file.length).toBe(8 + 5 + 5 + 5 + 4 * blockHeadBytes + 2 * (2 + details.length));
    const time = 1_700_000_000_123_456_789n;
    expect(blocksOf(file)).toEqual([
      { stream: "stdout", time, text: "one\ntwo\n", details: "", open: false, records: 2 },
      { stream: "stderr", time: -5n, text: "oops\n", details: "", open: false, records: 1 },
      { stream: "stdout", time, text: "piece", details: "a=b,c=d", open: true, records: 1 },
      { stream: "stdout", time, text: "\nend\n", details: "a=b,c=d", open: false, records: 2 },
    ]);
  });

  test("begins a block at every page, and cuts no record for it", () => {
    const lines = Array.from({ length: 200 }, (_, index) => `${index} ${"x".repeat(20 + ((index * 7919) % 16_000))}\n`);
    const file = encode(...lines.map((line) => run(line)), run(lines.join("")));
    const blocks = blocksOf(file);
    expect(textOf(blocks)).toBe(lines.join("").repeat(2));
    expect(file.length).toBeGreaterThan(10 * pageBytes);
    const starts = new Set(lines.map((line) => line.slice(0, 20)));
    for (let page = 0; page < file.length; page += pageBytes) {
      const reader = new BlockReader();
      reader.load(file.subarray(page), page);
      expect(reader.next()).toBe("block");
      const at = page + reader.textFrom;
      expect(starts).toContain(Buffer.from(file.subarray(at, at + 20)).toString());
    }
  });

  test("fills a file with whole records and leaves the rest for the next", () => {
    const text = "0123456\n".repeat(10);
    const encoder = new BlockEncoder(0);
    expect(encoder.encode(run(text), 0, 100, 100 + blockHeadBytes + 30)).toBe(24);
    encoder.clear();
    expect(encoder.encode(run(text), 24, 100, 100 + blockHeadBytes + 7)).toBe(0);
    expect(encoder.encoded).toHaveLength(0);
    // Longer than any file may be.
    expect(encoder.encode(run(text), 24, 0, 5)).toBe(8);
    expect(textOf(blocksOf(encoder.encoded))).toBe("0123456\n");
    encoder.clear();
    // The page has no room, and the next one would make the file too long.
    expect(encoder.encode(run(text), 0, pageBytes - 10, pageBytes + blockHeadBytes)).toBe(0);
    expect(encoder.encode(run(text), 0, pageBytes - 10, pageBytes + blockHeadBytes + 8)).toBe(8);
    expect(encoder.encoded).toHaveLength(10 + blockHeadBytes + 8);
  });

  test("takes nothing that a container writes for a block, wherever a page is damaged", () => {
    const forged = encode(run("forged\n"));
    const line = Buffer.concat([forged, Buffer.from("\n")]);
    const lines = run("", { text: Buffer.concat(Array.from({ length: 10 }, () => line)) });
    const file = encode(...Array.from({ length: 3000 }, () => lines), run("last\n"));
    expect(file.length).toBeGreaterThan(2 * pageBytes);
    const whole = blocksOf(file);
    file.fill(0xff, 1000, 1001);
    file.fill(0, pageBytes + 4096, pageBytes + 8192);
    const damaged = blocksOf(file);
    expect(damaged.length).toBeLessThan(whole.length);
    for (const { text } of damaged.slice(0, -1)) expect(lines.text.toString().endsWith(text)).toBe(true);
    expect(damaged.at(-1)?.text).toBe("last\n");
  });

  test("has its end before a block that is torn, wherever that was", () => {
    const path = join(directory, "torn");
    const first = encode(run("first\n"), run("second\n"));
    const pad = run("x".repeat(16_000).concat("\n").repeat(40));
    for (const begin of [[run("first\n")], [pad, run("first\n")]]) {
      const kept = encode(...begin);
      const file = encode(...begin, run("second\n", { details: Buffer.from("a=b") }));
      for (const size of [0, 1, 11, 12, 13, 17, 23, 24].map((bytes) => Math.min(kept.length + bytes, file.length))) {
        writeFileSync(path, file.subarray(0, size));
        const fd = openSync(path, "r");
        expect(endOfBlocks(fd)).toBe(size === file.length ? size : kept.length);
        closeSync(fd);
        expect(textOf(blocksOf(file.subarray(0, size))).endsWith("first\n")).toBe(size < file.length);
      }
    }
    // What a disk that lost its power has of a file: its size, and zeros.
    writeFileSync(path, first);
    truncateSync(path, first.length + 5000);
    const fd = openSync(path, "r");
    expect(endOfBlocks(fd)).toBe(first.length);
    closeSync(fd);
  });
});
