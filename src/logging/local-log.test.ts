import { afterAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { BlockReader, pageBytes } from "./local-format.ts";
import { LocalLog, type LocalLogOptions, shownDetails } from "./local-log.ts";
import type { OutputStream } from "./log-writer.ts";
import { readLog } from "./read.ts";

const directory = mkdtempSync("/var/tmp/tsd-local-log-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function newLog(options: Partial<LocalLogOptions> = {}) {
  const path = options.path ?? join(directory, `${files++}`, "container.log");
  const trouble: string[] = [];
  const log = new LocalLog({ onTrouble: (message) => trouble.push(message), ...options, path });
  const write = (text: string | Uint8Array, stream: OutputStream = "stdout") => log.write(stream, Buffer.from(text));
  return { log, path, trouble, write };
}

/** The blocks of a file, and how often the reader had to go to the next page. */
function blocksOf(path: string) {
  const bytes = readFileSync(path);
  const reader = new BlockReader();
  reader.load(bytes, 0);
  const blocks = [];
  for (let found = reader.next(); found !== "more"; found = reader.next()) {
    if (found === "skip") continue;
    const text = bytes.subarray(reader.textFrom, reader.textTo).toString();
    const details = bytes.subarray(reader.detailsFrom, reader.detailsTo).toString();
    blocks.push({ stream: reader.stream, text, details, time: reader.time });
  }
  return blocks;
}
const textOf = (path: string) => blocksOf(path).map(({ text }) => text);

describe("the local log", () => {
  test("has the lines of a read in one block, with their details", () => {
    const { log, path, write } = newLog({ attributes: { "my label": "a=b", env: "x&y" } });
    write("one\ntwo\n");
    write("error\n", "stderr");
    log.close();
    const details = "env=x%26y,my+label=a%3Db";
    expect(blocksOf(path)).toEqual([
      { stream: "stdout", text: "one\ntwo\n", details, time: expect.any(BigInt) },
      { stream: "stderr", text: "error\n", details, time: expect.any(BigInt) },
    ]);
    expect(shownDetails({ "it's": "(*)!~" })).toBe("it%27s=%28%2A%29%21~");
  });

  test("puts lines together whatever the pieces they come in, and cuts long ones where no character is", () => {
    const text = `${"x".repeat(20_000)}\nshort\n${"é".repeat(9000)}\n\n${"y".repeat(16_384)}\n${"z".repeat(16_383)}\nend`;
    const bytes = Buffer.from(text);
    for (const step of [1, 7, 4096, 16_383, 16_384, 16_385, 65_536]) {
      const { log, path, write } = newLog();
      for (let at = 0; at < bytes.length; at += step) write(bytes.subarray(at, at + step));
      log.close();
      const lines = textOf(path).flatMap((block) => block.match(/[^\n]*\n|[^\n]+$/g) ?? []);
      expect(lines.map((line) => Buffer.byteLength(line))).toEqual([
        16_384, 3617, 6, 16_384, 1617, 1, 16_384, 1, 16_384, 3,
      ]);
      expect(lines.join("")).toBe(text);
    }
  });

  test("gives the pieces of one line the time of the first, and what follows its own", async () => {
    const { log, path, write } = newLog();
    write("a".repeat(16_384));
    await Bun.sleep(3);
    write("b\nnext\n");
    log.close();
    const [first, second, third] = blocksOf(path);
    expect([first!.text.length, second!.text, third!.text]).toEqual([16_384, "b\n", "next\n"]);
    expect(second!.time).toBe(first!.time);
    expect(third!.time > first!.time).toBe(true);
  });

  test("goes on after a torn block, and where somebody has emptied it", () => {
    const { path, log, write } = newLog();
    write("whole\n");
    log.close();
    const size = statSync(path).size;
    appendFileSync(path, readFileSync(path).subarray(0, size - 2));
    const again = newLog({ path });
    again.write("next\n");
    expect(textOf(path)).toEqual(["whole\n", "next\n"]);
    truncateSync(path);
    again.write("emptied\n");
    again.log.close();
    expect(textOf(path)).toEqual(["emptied\n"]);
  });

  test("rotates between blocks, below the limit of a file, and drops the oldest", () => {
    const { log, path, write } = newLog({ maxSizeBytes: 2000, maxFiles: 3 });
    const lines = Array.from({ length: 600 }, (_, index) => `line ${index}\n`);
    for (let at = 0; at < lines.length; at += 40) write(lines.slice(at, at + 40).join(""));
    log.close();
    const names = [`${path}.2`, `${path}.1`, path];
    for (const name of names) expect(statSync(name).size).toBeLessThanOrEqual(2000);
    expect(existsSync(`${path}.3`)).toBe(false);
    const kept = names.flatMap((name) => textOf(name)).join("");
    expect(lines.join("").endsWith(kept)).toBe(true);
    expect(kept.length).toBeGreaterThan(3000);
  });

  test("has no block over the end of a page, and loses nothing there", () => {
    const { log, path, write } = newLog();
    const text = `${"line ".repeat(2000)}\n`.repeat(100);
    for (let at = 0; at < text.length; at += 65_536) write(text.slice(at, at + 65_536));
    log.close();
    expect(statSync(path).size).toBeGreaterThan(3 * pageBytes);
    expect(textOf(path).join("")).toBe(text);
  });
});

describe("rotated files that are compressed", () => {
  test("are read as before, and those that a crash has left are compressed by the next writer", async () => {
    const { log, path, write } = newLog({ maxSizeBytes: 20_000, maxFiles: 50, compress: true });
    const lines = Array.from({ length: 6000 }, (_, index) => `line ${index}\n`);
    for (let at = 0; at < lines.length; at += 1000) {
      write(lines.slice(at, at + 1000).join(""));
      await Bun.sleep(0);
    }
    await log.compressed();
    log.close();
    expect(existsSync(`${path}.1`)).toBe(false);
    expect(existsSync(`${path}.1.gz`)).toBe(true);
    const text = async () => {
      const read = { stdout: true, stderr: true, multiplexed: false, timestamps: false, details: false };
      return Buffer.concat(await Array.fromAsync(readLog(path, { ...read, format: "local" }))).toString();
    };
    expect(await text()).toBe(lines.join(""));
    // As if the process had ended between two steps.
    writeFileSync(`${path}.2`, Bun.gunzipSync(readFileSync(`${path}.2.gz`)));
    writeFileSync(`${path}.compressing`, "half");
    expect(await text()).toBe(lines.join(""));
    const again = newLog({ path, maxSizeBytes: 20_000, maxFiles: 50, compress: true });
    await again.log.compressed();
    again.log.close();
    expect([`${path}.2`, `${path}.compressing`].map((name) => existsSync(name))).toEqual([false, false]);
    expect(await text()).toBe(lines.join(""));
  });

  test("are never more than there may be", async () => {
    const { log, path, write } = newLog({ maxSizeBytes: 2000, maxFiles: 3, compress: true });
    for (let index = 0; index < 400; index++) {
      write(`${"line ".repeat(10)}${index}\n`);
      if (index % 7 === 0) await Bun.sleep(0);
    }
    await log.compressed();
    log.close();
    const names = readdirSync(dirname(path)).sort();
    expect(names).toEqual(["container.log", "container.log.1.gz", "container.log.2.gz"]);
  });
});

test("a full disk is reported once and counted, line by line", () => {
  const { log, trouble, write } = newLog({ path: "/dev/full" });
  write("lost 1\nlost 2\n");
  write("lost 3\n");
  log.close();
  expect(log.lostLines).toBe(3);
  expect(trouble).toEqual(["write /dev/full: no space left on device; lines are lost until it can be written again"]);
});

test("a local log that cannot be rotated grows on, and is read whole", async () => {
  const { log, path, trouble, write } = newLog({ maxSizeBytes: 1000, maxFiles: 3 });
  mkdirSync(`${path}.new`);
  const lines = Array.from({ length: 20_000 }, (_, index) => `a line with the number ${index}\n`);
  for (let at = 0; at < lines.length; at += 7) write(lines.slice(at, at + 7).join(""));
  expect(textOf(path).join("")).toBe(lines.join(""));
  expect(trouble).toHaveLength(1);
  log.close();
});
