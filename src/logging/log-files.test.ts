/** Logs of many files in both formats, compressed or not, and followers that are late. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { compressLog } from "./compressed.ts";
import { formatNanoseconds } from "./json-decoder.ts";
import { JsonFileLog } from "./json-file.ts";
import { BlockEncoder, pageBytes } from "./local-format.ts";
import type { LogFormatName } from "./log-format.ts";
import { numbered } from "./log-names.ts";
import { type ReadLogOptions, readLog } from "./read.ts";

const directory = mkdtempSync("/var/tmp/tsd-log-files-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const bare: ReadLogOptions = { stdout: true, stderr: true, multiplexed: false, timestamps: false, details: false };
let logs = 0;

async function readBytes(path: string, options: Partial<ReadLogOptions>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(readLog(path, { ...bare, ...options })));
}

const readAll = async (path: string, options: Partial<ReadLogOptions>) => (await readBytes(path, options)).toString();

const zero = 1_700_000_000_000_000_000n;
/** A line each second, three of a time. */
const timeOfLine = (line: number) => zero + BigInt(Math.floor(line / 3)) * 1_000_000_000n;
const textOfLine = (line: number) => `line ${line} ${"x".repeat((line * 31) % 240)}\n`;

/** One file of a log with these lines. */
function encode(format: LogFormatName, from: number, to: number): Uint8Array {
  if (format === "json-file") {
    const records: string[] = [];
    for (let line = from; line < to; line++) {
      const time = formatNanoseconds(timeOfLine(line));
      records.push(
        `${JSON.stringify({ log: textOfLine(line), stream: line % 5 === 0 ? "stderr" : "stdout", time })}\n`,
      );
    }
    return Buffer.from(records.join(""));
  }
  const encoder = new BlockEncoder(1 << 20);
  for (let line = from; line < to; line++) {
    const stream = line % 5 === 0 ? "stderr" : "stdout";
    const run = { stream, time: timeOfLine(line), text: Buffer.from(textOfLine(line)) } as const;
    encoder.encode(run, 0, encoder.encoded.length, Number.POSITIVE_INFINITY);
  }
  return encoder.encoded.slice();
}

const lines = 12_000;
const filesOfLog = 4;
const texts = Array.from({ length: lines }, (_, line) => textOfLine(line));
const expected = (from: number, to = lines) => texts.slice(Math.max(0, from), to).join("");

/** A log whose oldest files are compressed. */
async function newLog(format: LogFormatName, compressed: boolean): Promise<string> {
  const path = join(directory, `${logs++}.log`);
  const perFile = lines / filesOfLog;
  for (let file = 0; file < filesOfLog; file++) {
    const place = numbered(path, filesOfLog - 1 - file);
    writeFileSync(place, encode(format, file * perFile, (file + 1) * perFile));
    if (!compressed || file === filesOfLog - 1) continue;
    const fd = openSync(place, "r");
    // The oldest was compressed by somebody else.
    if (file === 0) writeFileSync(`${place}.gz`, Bun.gzipSync(readFileSync(place)));
    else await compressLog(fd, `${place}.gz`);
    closeSync(fd);
    rmSync(place);
  }
  return path;
}

for (const format of ["json-file", "local"] as const) {
  for (const compressed of [false, true]) {
    describe(`a ${format} log of ${compressed ? "compressed" : "plain"} files`, () => {
      test("is read whole, from its last lines, and between two moments", async () => {
        const path = await newLog(format, compressed);
        expect((await readAll(path, { format })) === expected(0)).toBe(true);
        for (const tail of [0, 1, 10, 2999, 3000, 3001, 8000, 11_999, 50_000]) {
          expect((await readAll(path, { format, tail })) === expected(lines - tail)).toBe(true);
        }
        for (const line of [0, 3, 2997, 3000, 3003, 7001, 11_998]) {
          const since = timeOfLine(line);
          const first = line - (line % 3);
          expect((await readAll(path, { format, since })) === expected(first)).toBe(true);
          expect((await readAll(path, { format, since: since + 1n })) === expected(first + 3)).toBe(true);
          const until = since + 10_000_000_000n;
          expect((await readAll(path, { format, since, until })) === expected(first, first + 33)).toBe(true);
        }
        expect(await readAll(path, { format, since: timeOfLine(lines + 3) })).toBe("");
        expect(await readAll(path, { format, tail: 9, since: timeOfLine(lines - 3) })).toBe(expected(lines - 3));
      });

      test("has frames, times and streams of each record", async () => {
        const path = await newLog(format, compressed);
        const options = { format, tail: 8003, multiplexed: true, timestamps: true, stderr: false };
        const bytes = await readBytes(path, options);
        let line = lines - 8003;
        for (let at = 0; at < bytes.length; line++) {
          if (line % 5 === 0) continue;
          const length = bytes.readUInt32BE(at + 4);
          const time = `${new Date(Number(timeOfLine(line) / 1_000_000n)).toISOString().slice(0, 19)}.000000000Z`;
          if (bytes[at] !== 1) throw new Error(`line ${line}`);
          const text = bytes.toString("utf8", at + 8, at + 8 + length);
          if (text !== `${time} ${textOfLine(line)}`) expect(text).toBe(`${time} ${textOfLine(line)}`);
          at += 8 + length;
        }
        // The last line is one of stderr when five divides it.
        expect(line).toBe(lines);
      });
    });
  }
}

test("a log whose writer was killed between two files is read, and followed into the next one", async () => {
  const path = join(directory, `${logs++}.log`);
  writeFileSync(`${path}.1`, encode("json-file", 0, 10));
  expect(await readAll(path, {})).toBe(expected(0, 10));
  const ended = Promise.withResolvers<void>();
  const following = readAll(path, { follow: { ended: ended.promise }, tail: 5 });
  await Bun.sleep(100);
  writeFileSync(path, encode("json-file", 10, 12));
  ended.resolve();
  expect(await following).toBe(expected(5, 12));
  // Or in the middle of giving files new names.
  renameSync(numbered(path, 1), numbered(path, 2));
  expect(await readAll(path, {})).toBe(expected(0, 12));
});

test("a follower whose file was rotated away finds the next one beyond a gap", async () => {
  const path = join(directory, `${logs++}.log`);
  for (const number of [0, 1, 2])
    writeFileSync(numbered(path, number), encode("json-file", 20 - number * 10, 30 - number * 10));
  const ended = Promise.withResolvers<void>();
  const pieces = readLog(path, { ...bare, follow: { ended: ended.promise }, tail: 1 });
  expect(Buffer.from((await pieces.next()).value!).toString()).toBe(textOfLine(29));
  for (const number of [2, 1, 0]) renameSync(numbered(path, number), numbered(path, number + 2));
  writeFileSync(path, encode("json-file", 30, 32));
  ended.resolve();
  const rest = await Array.fromAsync(pieces);
  expect(Buffer.concat(rest).toString()).toBe(expected(30, 32));
});

describe("a place that is looked for", () => {
  test("is found without reading what comes before it", async () => {
    for (const format of ["json-file", "local"] as const) {
      const path = join(directory, `${logs++}.log`);
      const file = encode(format, 0, lines);
      const half = Math.floor(file.length / 2 / pageBytes) * pageBytes;
      // Bisecting looks at a few places; what it would show of the rest is spoilt.
      for (let at = 0; at + pageBytes < half; at += pageBytes) file.fill(120, at + 40_000, at + 200_000);
      writeFileSync(path, file);
      const line = lines - 3000;
      expect((await readAll(path, { format, since: timeOfLine(line) })) === expected(line)).toBe(true);
      expect((await readAll(path, { format, tail: 3000 })) === expected(line)).toBe(true);
    }
  });
});

describe("details", () => {
  test("are the attributes of each record, sorted and escaped as docker does", async () => {
    const json = join(directory, `${logs++}.log`);
    const time = "2026-01-02T03:04:05Z";
    const long = "é ".repeat(300);
    const attrs = { "b c": "1/2", a: "x&y='z'", long };
    for (const record of [{ attrs }, { attrs }, { attrs: { a: "}" } }, {}]) {
      appendFileSync(json, `${JSON.stringify({ log: "text\n", stream: "stdout", ...record, time })}\n`);
    }
    appendFileSync(json, `{"attrs":{"o":"p"},"log":"other order\\n","stream":"stdout","time":"${time}"}\n`);
    const shown = `a=x%26y%3D%27z%27,b+c=1%2F2,long=${"%C3%A9+".repeat(300)}`;
    const stamp = "2026-01-02T03:04:05.000000000Z ";
    expect(await readAll(json, { details: true, timestamps: true })).toBe(
      [`${shown} text`, `${shown} text`, "a=%7D text", " text", "o=p other order"]
        .map((t) => `${stamp}${t}\n`)
        .join(""),
    );
    expect(await readAll(json, {})).toBe(`${"text\n".repeat(4)}other order\n`);
    const local = join(directory, `${logs++}.log`);
    const encoder = new BlockEncoder(1024);
    const run = { stream: "stdout", time: 0n, text: Buffer.from("one\ntwo\n"), details: Buffer.from(shown) } as const;
    encoder.encode(run, 0, 0, Number.POSITIVE_INFINITY);
    writeFileSync(local, encoder.encoded);
    expect(await readAll(local, { format: "local", details: true })).toBe(`${shown} one\n${shown} two\n`);
    expect(await readAll(local, { format: "local" })).toBe("one\ntwo\n");
  });
});

describe("a follower", () => {
  /** Reads one piece at a time, when it is told to. */
  function slow(path: string) {
    const ended = Promise.withResolvers<void>();
    const pieces = readLog(path, { ...bare, follow: { ended: ended.promise } });
    const seen: string[] = [];
    const rest = async () => {
      for await (const piece of pieces) seen.push(Buffer.from(piece).toString());
      return seen.join("");
    };
    const next = async () => void seen.push(Buffer.from((await pieces.next()).value!).toString());
    return { next, rest, end: ended.resolve };
  }

  for (const maxFiles of [1, 3]) {
    test(`that is late has every line of ${maxFiles} files that were rotated meanwhile`, async () => {
      const path = join(directory, `${logs++}.log`);
      const log = new JsonFileLog({ path, maxSizeBytes: 2000, maxFiles, onTrouble: () => undefined });
      log.write("stdout", Buffer.from("begin\n"));
      const follower = slow(path);
      await follower.next();
      let text = "begin\n";
      for (let line = 0; line < 300; line++) {
        log.write("stdout", Buffer.from(textOfLine(line % 100)));
        text += textOfLine(line % 100);
        if (line % 8 === 0) await Bun.sleep(4);
      }
      log.close();
      follower.end();
      expect((await follower.rest()) === text).toBe(true);
    });
  }

  test("for whom too much was rotated away is told so, in the place of what is missing", async () => {
    const path = join(directory, `${logs++}.log`);
    const log = new JsonFileLog({ path, maxSizeBytes: 1000, maxFiles: 2, onTrouble: () => undefined });
    log.write("stdout", Buffer.from("begin\n"));
    const follower = slow(path);
    await follower.next();
    // At once: nobody else has a turn.
    for (let line = 0; line < 100; line++) log.write("stdout", Buffer.from(`line ${line}\n`));
    log.close();
    follower.end();
    const text = await follower.rest();
    const [, before, note, after] = /^(.*?)(tsd: lines are missing here: [^\n]*\n)(.*)$/s.exec(text)!;
    expect(note).toContain("rotated faster than it was read");
    const numbers = [...`${before}${after}`.matchAll(/line (\d+)\n/g)].map(([, number]) => Number(number));
    expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers);
    expect(numbers.at(-1)).toBe(99);
    expect(numbers.length).toBeLessThan(100);
    expect(after).toStartWith("line ");
  });
});

describe("a damaged compressed file costs what is damaged, and that is said", () => {
  for (const format of ["json-file", "local"] as const) {
    test(`in ${format}`, async () => {
      const path = await newLog(format, true);
      rmSync(`${numbered(path, filesOfLog - 1)}.gz`);
      const oldest = `${numbered(path, filesOfLog - 2)}.gz`;
      const whole = readFileSync(oldest);
      const damages: [string, Uint8Array, string][] = [
        ["half written", whole.subarray(0, whole.length - 10), "ends at byte"],
        ["changed", whole.map((byte, at) => (at > 2000 && at < 2100 ? 0 : byte)), "damaged at byte 0"],
        ["zeros", new Uint8Array(5000), "is damaged: "],
        ["another's, half", Bun.gzipSync(Buffer.from(encode(format, 3000, 6000))).subarray(0, 4000), "is damaged: "],
      ];
      for (const [, bytes, reason] of damages) {
        writeFileSync(oldest, bytes);
        for (const until of [undefined, timeOfLine(lines)]) {
          const text = await readAll(path, { format, ...(until !== undefined && { until }) });
          expect(text.match(/tsd: lines are missing here: a compressed file .*\n/g)).toEqual([
            expect.stringContaining(reason),
          ]);
          expect(text.endsWith(expected(6000))).toBe(true);
        }
      }
      expect(await readAll(path, { format, tail: 10 })).toBe(expected(lines - 10));
    });
  }
});
