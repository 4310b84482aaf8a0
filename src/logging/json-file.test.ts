import { afterAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { JsonFileLog, type JsonFileOptions } from "./json-file.ts";
import type { OutputStream } from "./log-writer.ts";

const directory = mkdtempSync("/var/tmp/tsd-json-file-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function newLog(options: Partial<JsonFileOptions> = {}) {
  const path = options.path ?? join(directory, `${files++}.log`);
  const trouble: string[] = [];
  const log = new JsonFileLog({ onTrouble: (message) => trouble.push(message), ...options, path });
  const write = (text: string | Uint8Array, stream: OutputStream = "stdout") => log.write(stream, Buffer.from(text));
  return { log, path, trouble, write };
}

interface LogRecord {
  log: string;
  stream: string;
  time: string;
}

function recordsOf(path: string): LogRecord[] {
  const text = readFileSync(path, "utf8");
  expect(text === "" || text.endsWith("\n")).toBe(true);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LogRecord);
}

/** The raw record without its time, which ends it. */
function withoutTime(line: string): string {
  return line.replace(/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"\}$/, "");
}

function rawLines(path: string): string[] {
  return readFileSync(path, "utf8").split("\n").slice(0, -1).map(withoutTime);
}

describe("the json-file log", () => {
  test("has docker's record for each line", () => {
    const { log, path, write } = newLog();
    write("one\ntwo\n");
    write("error\n", "stderr");
    log.close();
    expect(rawLines(path)).toEqual([
      '{"log":"one\\n","stream":"stdout",',
      '{"log":"two\\n","stream":"stdout",',
      '{"log":"error\\n","stream":"stderr",',
    ]);
  });

  test("escapes what Go's encoder escapes", () => {
    const { log, path, write } = newLog();
    write('"\\\t\r\b\f\0\x1b[1m<a>&\x7f\u2028\u2029\u00e9\u20ac\u{1f600}\n');
    log.close();
    expect(rawLines(path)).toEqual([
      '{"log":"\\"\\\\\\u0009\\r\\u0008\\u000c\\u0000\\u001b[1m\\u003ca\\u003e\\u0026\x7f\\u2028\\u2029é€\u{1f600}\\n","stream":"stdout",',
    ]);
  });

  test("replaces each byte that is no UTF-8, and only those", () => {
    const cases: [number[], string][] = [
      [[0xff, 0x41], "\\ufffdA"],
      [[0xe2, 0x82], "\\ufffd\\ufffd"], // a truncated sequence
      [[0xc0, 0x80], "\\ufffd\\ufffd"], // overlong
      [[0xed, 0xa0, 0x80], "\\ufffd\\ufffd\\ufffd"], // a surrogate
      [[0xf4, 0x90, 0x80, 0x80], "\\ufffd\\ufffd\\ufffd\\ufffd"], // above U+10FFFF
      [[0xf0, 0x9f, 0x98, 0x80], "\u{1f600}"],
      [[0xef, 0xbf, 0xbd], "\ufffd"], // the replacement character itself
      [[0x80], "\\ufffd"],
    ];
    const { log, path, write } = newLog();
    for (const [bytes] of cases) write(new Uint8Array([...bytes, 10]));
    log.close();
    expect(rawLines(path)).toEqual(cases.map(([, text]) => `{"log":"${text}\\n","stream":"stdout",`));
  });

  test("puts lines together whatever the pieces they come in", () => {
    const text = `${"x".repeat(20000)}\nshort\n${"é".repeat(9000)}\n\n${"y".repeat(16384)}\n${"z".repeat(16383)}\nend`;
    const bytes = Buffer.from(text);
    const whole = newLog();
    whole.write(bytes);
    whole.log.close();
    const expected = recordsOf(whole.path).map((record) => record.log);
    expect(expected.join("")).toBe(text);
    expect(expected.map((line) => Buffer.byteLength(line))).toEqual([
      16384, 3617, 6, 16384, 1617, 1, 16384, 1, 16384, 3,
    ]);
    for (const step of [1, 7, 4096, 16383, 16384, 16385, 65536]) {
      const pieces = newLog();
      for (let at = 0; at < bytes.length; at += step) pieces.write(bytes.subarray(at, at + step));
      pieces.log.close();
      expect(recordsOf(pieces.path).map((record) => record.log)).toEqual(expected);
    }
  });

  test("does not cut a character of a long line in two", () => {
    const { log, path, write } = newLog();
    const text = `a${"€".repeat(11000)}\n`;
    write(text);
    log.close();
    const records = recordsOf(path).map((record) => record.log);
    expect(records.join("")).toBe(text);
    expect(Buffer.byteLength(records[0]!)).toBe(16384);
    expect(Buffer.byteLength(records[1]!)).toBe(16383);
  });

  test("gives the pieces of one line the time of the first", async () => {
    const { log, path, write } = newLog();
    write("a".repeat(16384));
    await Bun.sleep(3);
    write("b\nnext\n");
    log.close();
    const [first, second, third] = recordsOf(path);
    expect(second!.time).toBe(first!.time);
    expect(third!.time > first!.time).toBe(true);
  });

  test("keeps lines of both streams apart until they end", () => {
    const { log, path, write } = newLog();
    write("out ");
    write("err ", "stderr");
    write("put\n");
    write("or", "stderr");
    log.close();
    expect(recordsOf(path).map(({ log: text, stream }) => [text, stream])).toEqual([
      ["out put\n", "stdout"],
      ["err or", "stderr"],
    ]);
  });

  test("writes random bytes so that they are read back, replaced where they must be", () => {
    const { log, path, write } = newLog();
    const bytes = new Uint8Array(400_000);
    let seed = 1;
    for (let index = 0; index < bytes.length; index++) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      bytes[index] = index % 3 === 0 ? seed >> 16 : (seed >> 16) & 0x7f;
    }
    write(bytes);
    log.close();
    const ascii = (text: string) => text.replace(/[^\n -~]/g, "");
    const back = recordsOf(path)
      .map((record) => record.log)
      .join("");
    expect(ascii(back)).toBe(ascii(Buffer.from(bytes).toString("latin1")));
  });

  test("goes on after a torn record that a crash left", () => {
    const { path, log, write } = newLog();
    write("whole\n");
    log.close();
    appendFileSync(path, '{"log":"to');
    const again = newLog({ path });
    again.write("next\n");
    again.log.close();
    expect(recordsOf(path).map((record) => record.log)).toEqual(["whole\n", "next\n"]);
  });

  test("has the container's attributes before the time, as docker has them", () => {
    const { log, path, write } = newLog({ attributes: { b: "<2>", a: 'say "1"', tag: "web" } });
    write("line\n");
    log.close();
    expect(rawLines(path)).toEqual([
      '{"log":"line\\n","stream":"stdout","attrs":{"a":"say \\"1\\"","b":"\\u003c2\\u003e","tag":"web"},',
    ]);
  });

  test("goes on in a new file when somebody has removed it, and from the beginning when it was emptied", () => {
    const removed = newLog();
    removed.write("one\n");
    rmSync(removed.path);
    removed.write("two\n");
    removed.log.close();
    expect(recordsOf(removed.path).map((record) => record.log)).toEqual(["two\n"]);
    const emptied = newLog({ maxSizeBytes: 200, maxFiles: 2 });
    emptied.write("one\ntwo\n");
    truncateSync(emptied.path);
    emptied.write("three\n");
    emptied.log.close();
    expect(recordsOf(emptied.path).map((record) => record.log)).toEqual(["three\n"]);
    expect(existsSync(`${emptied.path}.1`)).toBe(false);
  });

  test("whose writes are deferred has them in order, over rotations, once it is settled", async () => {
    const { log, path, write } = newLog({ deferred: true, maxSizeBytes: 2000, maxFiles: 9 });
    const lines = Array.from({ length: 100 }, (_, index) => `line ${index}\n`);
    for (const line of lines) write(line);
    expect(statSync(path).size).toBe(0);
    await log.settle();
    const back = [];
    for (let number = 8; number >= 0; number--) {
      const file = number === 0 ? path : `${path}.${number}`;
      if (existsSync(file)) back.push(...recordsOf(file).map((record) => record.log));
    }
    expect(back).toEqual(lines);
    log.close();
  });

  test("is private, and a directory that cannot be is an error that names the path", () => {
    const { path, log } = newLog();
    log.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(() => newLog({ path: "/proc/no/log" })).toThrow("open log /proc/no/log");
  });
});

describe("rotation", () => {
  test("keeps each file below its limit and loses no line while there are enough files", () => {
    const { log, path, write } = newLog({ maxSizeBytes: 2000, maxFiles: 50 });
    const lines = Array.from({ length: 300 }, (_, index) => `line ${index}\n`);
    for (let at = 0; at < lines.length; at += 40) write(lines.slice(at, at + 40).join(""));
    log.close();
    const back: string[] = [];
    let count = 0;
    for (; existsSync(count === 0 ? path : `${path}.${count}`); count++) {
      const file = count === 0 ? path : `${path}.${count}`;
      expect(statSync(file).size).toBeLessThanOrEqual(2000);
      back.unshift(...recordsOf(file).map((record) => record.log));
    }
    expect(count).toBeGreaterThan(10);
    expect(back).toEqual(lines);
  });
  test("keeps no more files than it may, and with one file empties it", () => {
    const several = newLog({ maxSizeBytes: 500, maxFiles: 3 });
    const one = newLog({ maxSizeBytes: 500 });
    for (let index = 0; index < 100; index++) {
      several.write(`line ${index}\n`);
      one.write(`line ${index}\n`);
    }
    several.log.close();
    one.log.close();
    expect([0, 1, 2, 3].map((n) => existsSync(n === 0 ? several.path : `${several.path}.${n}`))).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(recordsOf(one.path).at(-1)!.log).toBe("line 99\n");
    expect(statSync(one.path).size).toBeLessThanOrEqual(500);
    expect(existsSync(`${one.path}.1`)).toBe(false);
  });
  test("writes a record that is longer than a file may be", () => {
    const { log, path, write } = newLog({ maxSizeBytes: 100, maxFiles: 2 });
    write(`${"x".repeat(500)}\n`);
    write("after\n");
    log.close();
    expect(recordsOf(`${path}.1`)[0]!.log).toHaveLength(501);
    expect(recordsOf(path)[0]!.log).toBe("after\n");
  });
});

describe("a log that cannot be rotated", () => {
  test("grows on, is whole, and is rotated when it can be", () => {
    const { log, path, trouble, write } = newLog({ maxSizeBytes: 500, maxFiles: 3 });
    write("first\n");
    mkdirSync(`${path}.new`);
    const lines = Array.from({ length: 2000 }, (_, index) => `line ${index}\n`);
    for (const line of lines) write(line);
    expect(recordsOf(path).map((record) => record.log)).toEqual(["first\n", ...lines]);
    expect(log.seam().position.bytes).toBe(statSync(path).size);
    expect(existsSync(`${path}.1`)).toBe(false);
    expect(trouble).toEqual([expect.stringMatching(/^rotate .*; it grows on until it can be rotated$/)]);
    rmdirSync(`${path}.new`);
    for (let count = 0; statSync(path).size > 500 && count < 2000; count++) write("after\n");
    log.close();
    expect(recordsOf(path).at(-1)!.log).toBe("after\n");
    expect(existsSync(`${path}.1`)).toBe(true);
    expect(trouble[1]).toBe(`${path} can be rotated again`);
  });

  test("with deferred writes says what it could not write", async () => {
    const { log, path, write } = newLog({ maxSizeBytes: 500, maxFiles: 3, deferred: true });
    mkdirSync(`${path}.new`);
    for (let index = 0; index < 300; index++) {
      write(`line ${index}\n`);
      await log.settle();
    }
    const texts = recordsOf(path).map((record) => record.log);
    const kept = texts.filter((text) => text.startsWith("line"));
    expect(kept.length + log.lostLines).toBe(300);
    expect(log.lostLines).toBeLessThan(5);
    expect(texts.join("")).toContain(`tsd: ${log.lostLines} line`);
    log.close();
  });

  test("does not keep a file that was left uncompressed before a newer one that is compressed", () => {
    const { log, path, write } = newLog({ maxSizeBytes: 100, maxFiles: 3 });
    writeFileSync(`${path}.1.gz`, "newer");
    writeFileSync(`${path}.2`, "oldest");
    write(`${"x".repeat(50)}\n`);
    write("next\n");
    log.close();
    expect(existsSync(`${path}.2`)).toBe(false);
    expect(readFileSync(`${path}.2.gz`, "utf8")).toBe("newer");
  });
});

describe("a full disk", () => {
  test("is reported once and counted, line by line", () => {
    const { log, trouble, write } = newLog({ path: "/dev/full" });
    write("lost 1\nlost 2\n");
    write("lost 3\n");
    log.close();
    expect(log.lostLines).toBe(3);
    expect(trouble).toEqual(["write /dev/full: no space left on device; lines are lost until it can be written again"]);
  });

  test.skipIf(process.getuid?.() !== 0)("leaves whole records, and writing goes on when there is room", () => {
    const disk = join(directory, "disk");
    mkdirSync(disk);
    expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk]).exitCode).toBe(0);
    try {
      const { log, trouble, write, path } = newLog({ path: join(disk, "x.log") });
      const filler = join(disk, "filler");
      writeFileSync(filler, new Uint8Array(40_000));
      let written = 0;
      while (log.lostLines === 0) write(Array.from({ length: 7 }, () => `line ${written++}\n`).join(""));
      write(`line ${written++}\n`);
      const kept = recordsOf(path);
      expect(kept.map((record) => record.log)).toEqual(kept.map((_, index) => `line ${index}\n`));
      expect(log.lostLines).toBe(written - kept.length);
      rmSync(filler);
      write("after\n");
      log.close();
      const lost = written - kept.length;
      expect(
        recordsOf(path)
          .slice(kept.length)
          .map((record) => record.log),
      ).toEqual([`tsd: ${lost} lines of this log were lost: write ${path}: no space left on device\n`, "after\n"]);
      expect(trouble).toHaveLength(2);
      expect(trouble[1]).toBe(`${path} can be written again; ${lost} lines were lost`);
    } finally {
      Bun.spawnSync(["umount", disk]);
    }
  });
});

test("every byte at every place of a word is written as Go writes it", () => {
  const { log, path, write } = newLog({ attributes: { name: "é" } });
  const expected: string[] = [];
  for (let byte = 0; byte < 256; byte++) {
    for (let place = 0; place < 9; place++) {
      if (byte === 10) continue;
      const line = new Uint8Array(10).fill(0x61);
      line[place] = byte;
      line[9] = 10;
      write(line);
      expected.push(line.reduce((text, each) => text + (each < 0x80 ? String.fromCharCode(each) : "\ufffd"), ""));
    }
  }
  log.close();
  expect(recordsOf(path).map((record) => record.log)).toEqual(expected);
  const escaped = [...'\\"<>&'].map((mark) => rawLines(path)[(mark.charCodeAt(0) - 1) * 9]!.slice(8, 14));
  expect(escaped).toEqual(["\\\\aaaa", '\\"aaaa', "\\u003c", "\\u003e", "\\u0026"]);
});
