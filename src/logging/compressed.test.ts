import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { CompressedLog, compressLog } from "./compressed.ts";
import { BlockEncoder, pageBytes } from "./local-format.ts";

const directory = mkdtempSync("/var/tmp/tsd-compressed-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const opened: number[] = [];
afterAll(() => {
  for (const fd of opened) closeSync(fd);
});
function open(path: string): number {
  opened.push(openSync(path, "r"));
  return opened.at(-1)!;
}

let files = 0;
async function compress(text: Uint8Array): Promise<{ path: string; inode: number }> {
  const path = join(directory, `${files++}.log`);
  writeFileSync(path, text);
  const fd = openSync(path, "r");
  try {
    await compressLog(fd, `${path}.gz`);
  } finally {
    closeSync(fd);
  }
  return { path: `${path}.gz`, inode: statSync(path).ino };
}

/** What is in it, in the pieces that it is read in. */
async function piecesOf(log: CompressedLog): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for (let at = 0; at < log.sizeBytes; ) {
    const target = Buffer.alloc(pageBytes);
    const length = await log.read(target, at);
    pieces.push(target.subarray(0, length));
    at += length;
  }
  return pieces;
}

function jsonLines(bytes: number): Buffer {
  const lines: string[] = [];
  for (let length = 0; length < bytes; length += lines.at(-1)!.length) {
    lines.push(
      `{"log":"line ${lines.length} ${"x".repeat((lines.length * 31) % 200)}\\n","stream":"stdout","time":"t"}\n`,
    );
  }
  return Buffer.from(lines.join(""));
}

function localBlocks(lines: number): Buffer {
  const encoder = new BlockEncoder(1024);
  const text = Buffer.from(Array.from({ length: lines }, (_, index) => `line ${index}\n`).join(""));
  encoder.encode({ stream: "stdout", time: 1n, text }, 0, 0, Number.POSITIVE_INFINITY);
  return Buffer.from(encoder.encoded);
}

describe("a compressed log", () => {
  test("is what gzip reads, and is read again from any place", async () => {
    for (const text of [jsonLines(700_000), localBlocks(80_000), Buffer.alloc(0)]) {
      const { path, inode } = await compress(text);
      if (text.length > 0) expect(gunzipSync(readFileSync(path)).equals(text)).toBe(true);
      const handle = open(path);
      const log = CompressedLog.open(handle)!;
      expect(log.sizeBytes).toBe(text.length);
      expect(log.inode).toBe(text.length === 0 ? 0 : inode);
      const pieces = await piecesOf(log);
      expect(Buffer.concat(pieces).equals(text)).toBe(true);
      const target = Buffer.alloc(100);
      for (const at of [text.length - 7, 300_000, 262_140, 5]) {
        const length = at < 0 ? 0 : await log.read(target, at);
        expect(target.subarray(0, length).equals(text.subarray(Math.max(0, at), at + length))).toBe(true);
        expect(length > 0).toBe(at >= 0 && at < text.length);
      }
    }
  });

  test("is cut between records, and at pages", async () => {
    const json = await compress(jsonLines(700_000));
    const jsonHandle = open(json.path);
    const lines = await piecesOf(CompressedLog.open(jsonHandle)!);
    expect(lines.length).toBeGreaterThan(2);
    for (const piece of lines) expect(piece.at(-1)).toBe(10);
    const local = await compress(localBlocks(80_000));
    const localHandle = open(local.path);
    const pages = await piecesOf(CompressedLog.open(localHandle)!);
    expect(pages.slice(0, -1).map((page) => page.length)).toEqual(pages.slice(0, -1).map(() => pageBytes));
  });

  test("without its end has what is whole; a damaged one says so; another's is not read", async () => {
    const text = jsonLines(700_000);
    const { path } = await compress(text);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, -1));
    const torn = open(path);
    const rest = CompressedLog.open(torn)!;
    expect(rest.sizeBytes).toBeGreaterThan(400_000);
    expect(rest.damage).toStartWith("a compressed file ends at byte ");
    expect(Buffer.concat(await piecesOf(rest)).equals(text.subarray(0, rest.sizeBytes))).toBe(true);
    bytes[5000]! ^= 0xff;
    writeFileSync(path, bytes);
    const damaged = open(path);
    const log = CompressedLog.open(damaged)!;
    const rests = await piecesOf(log);
    expect(log.damage).toBe("a compressed file is damaged at byte 0");
    expect(rests[0]!.subarray(0, -1).every((byte) => byte === 0)).toBe(true);
    expect(Buffer.concat(rests.slice(1)).equals(text.subarray(rests[0]!.length))).toBe(true);
    writeFileSync(path, Bun.gzipSync(Buffer.from(text)));
    const foreign = open(path);
    expect(CompressedLog.open(foreign)).toBeUndefined();
  });

  test("that is not finished leaves nothing", async () => {
    const path = join(directory, "aborted.log");
    writeFileSync(path, jsonLines(700_000));
    const fd = openSync(path, "r");
    const abort = new AbortController();
    const compressed = compressLog(fd, `${path}.gz`, abort.signal);
    abort.abort();
    expect(compressed).rejects.toThrow();
    await compressed.catch(() => undefined);
    expect(existsSync(`${path}.gz`)).toBe(false);
    closeSync(fd);
  });
});
