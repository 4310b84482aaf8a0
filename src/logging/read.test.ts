import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { padTime, parseTime } from "./json-decoder.ts";
import { JsonFileLog, type JsonFileOptions } from "./json-file.ts";
import { openLog, type ReadLogOptions, readLog } from "./read.ts";

const directory = mkdtempSync("/var/tmp/tsd-read-log-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function newLog(options: Partial<JsonFileOptions> = {}) {
  const path = join(directory, `${files++}.log`);
  const log = new JsonFileLog({ path, onTrouble: (message) => expect(message).toBe("no trouble"), ...options });
  const line = (text: string) => log.write("stdout", Buffer.from(text));
  return { path, log, line };
}

const bare: ReadLogOptions = { stdout: true, stderr: true, multiplexed: false, timestamps: false, details: false };

async function readAll(path: string, options: Partial<ReadLogOptions> = {}): Promise<string> {
  return Buffer.concat(await Array.fromAsync(readLog(path, { ...bare, ...options }))).toString();
}

/** What follows is collected as it comes. */
function follow(path: string, options: Partial<ReadLogOptions> = {}) {
  const ended = Promise.withResolvers<void>();
  const seen = { text: "" };
  const done = (async () => {
    for await (const chunk of readLog(path, { ...bare, ...options, follow: { ended: ended.promise } })) {
      seen.text += Buffer.from(chunk).toString();
    }
  })();
  return { seen, done, end: ended.resolve };
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 400 && !condition(); round++) await Bun.sleep(5);
  expect(condition()).toBe(true);
}

function record(text: string, time: string, stream = "stdout"): string {
  return `${JSON.stringify({ log: text, stream, time })}\n`;
}

describe("reading a log", () => {
  test("gives back every byte of text that was written", async () => {
    const { path, log } = newLog();
    const text = `plain\n"quoted" \\ \t\r\b\f\0\x1b[0m <&> \u2028é€\u{1f600}\n${"long ".repeat(9000)}\n\nno end`;
    log.write("stdout", Buffer.from(text));
    log.close();
    expect(await readAll(path)).toBe(text);
  });

  test("frames each record as docker does, and tells the streams apart", async () => {
    const { path, log } = newLog();
    log.write("stdout", Buffer.from("out\n"));
    log.write("stderr", Buffer.from("error\n"));
    log.close();
    const frames = Buffer.concat(await Array.fromAsync(readLog(path, { ...bare, multiplexed: true })));
    expect(frames.toString("latin1")).toBe("\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x06error\n");
    expect(await readAll(path, { stdout: false })).toBe("error\n");
    expect(await readAll(path, { stderr: false })).toBe("out\n");
  });

  test("reads records that other programs wrote, and passes over what is none", async () => {
    const path = join(directory, `${files++}.log`);
    const time = "2026-01-02T03:04:05Z";
    const lines = [
      `{"stream":"stderr","log":"order \\u00e9\\ud83d\\ude00\\n","time":"${time}"}`,
      `{"log":"attributes\\n","stream":"stdout","attrs":{"a":"b"},"time":"${time}"}`,
      `{"log":"escaped \\ud83d\\ude00\\/\\n","stream":"stdout","time":"${time}"}`,
      `{"log":"torn by a cra{"log":"x\\n","stream":"stdout","time":"${time}"}`,
      "[]",
      "null",
      "",
      `{"log":1,"stream":"stdout","time":"${time}"}`,
      `{ "log":"spaces\\n", "stream":"stdout", "time":"${time}" }`,
      `{"log":"last\\n","stream":"stdout","time":"${time}"}`,
    ];
    writeFileSync(path, `${lines.join("\n")}\n{"log":"being written`);
    expect(await readAll(path)).toBe("order é😀\nattributes\nescaped 😀/\nspaces\nlast\n");
  });

  test("ends at once for a log that does not exist, and names one that cannot be read", async () => {
    expect(await readAll(join(directory, "none.log"))).toBe("");
    await expect(readAll(directory)).rejects.toThrow(`read log ${directory}`);
  });

  test("adds fixed-width times to each record, also to the pieces of a line: as docker does", async () => {
    const path = join(directory, `${files++}.log`);
    const [first, second] = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.06Z"];
    writeFileSync(path, record("a", first) + record("b\n", first) + record("c\n", second));
    expect(await readAll(path, { timestamps: true })).toBe(
      "2026-01-02T03:04:05.000000000Z a2026-01-02T03:04:05.000000000Z b\n2026-01-02T03:04:05.060000000Z c\n",
    );
    expect(await readAll(path, { details: true })).toBe(" a b\n c\n");
    const frames = Buffer.concat(
      await Array.fromAsync(readLog(path, { ...bare, multiplexed: true, timestamps: true })),
    );
    expect(frames.readUInt32BE(4)).toBe("2026-01-02T03:04:05.000000000Z a".length);
  });

  test("leaves out what is earlier than since and ends at what is later than until", async () => {
    const path = join(directory, `${files++}.log`);
    const times = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000001Z", "2026-01-02T03:04:05.1Z"];
    writeFileSync(path, times.map((time, index) => record(`${index}\n`, time)).join(""));
    const at = times.map((time) => parseTime(time)!);
    expect(await readAll(path, { since: at[1]! })).toBe("1\n2\n");
    expect(await readAll(path, { until: at[1]! })).toBe("0\n1\n");
    expect(await readAll(path, { since: at[1]!, until: at[1]! })).toBe("1\n");
    expect(await readAll(path, { since: at[2]! + 1n })).toBe("");
  });

  test("finds the last lines without reading the others", async () => {
    const { path, log, line } = newLog();
    const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`);
    line(lines.join(""));
    log.close();
    appendFileSync(path, '{"log":"torn');
    for (const tail of [0, 1, 10, 7000, 19_999, 20_000, 30_000]) {
      expect(await readAll(path, { tail })).toBe(lines.slice(Math.max(0, 20_000 - tail)).join(""));
    }
    // Overwritten with what would be shown if it were read.
    const whole = readFileSync(path);
    whole.fill(10, 0, whole.length - 300_000);
    writeFileSync(path, whole);
    expect(await readAll(path, { tail: 2 })).toBe("line 19998\nline 19999\n");
  });

  test("passes over a line too long to be a record", async () => {
    const path = join(directory, `${files++}.log`);
    const time = "2026-01-02T03:04:05Z";
    writeFileSync(path, `${record("before\n", time)}${"x".repeat(40 * 2 ** 20)}\n${record("after\n", time)}`);
    expect(await readAll(path)).toBe("before\nafter\n");
  });
});

describe("rotated files", () => {
  test("are read as one log, and counted from the end", async () => {
    const { path, log, line } = newLog({ maxSizeBytes: 3000, maxFiles: 100 });
    const lines = Array.from({ length: 1000 }, (_, index) => `line ${index}\n`);
    for (const text of lines) line(text);
    log.close();
    expect(await readAll(path)).toBe(lines.join(""));
    for (const tail of [1, 40, 500]) expect(await readAll(path, { tail })).toBe(lines.slice(-tail).join(""));
  });
});

describe("following a log", () => {
  test("gives what is added, waits for the rest of a torn record, and ends with the container", async () => {
    const { path, log, line } = newLog();
    line("one\n");
    const { seen, done, end } = follow(path);
    await until(() => seen.text === "one\n");
    line("two\n");
    await until(() => seen.text === "one\ntwo\n");
    const text = record("three\n", "2026-01-02T03:04:05Z");
    appendFileSync(path, text.slice(0, 20));
    await Bun.sleep(20);
    appendFileSync(path, text.slice(20));
    await until(() => seen.text === "one\ntwo\nthree\n");
    line("last\n");
    log.close();
    end();
    await done;
    expect(seen.text).toBe("one\ntwo\nthree\nlast\n");
  });

  test("begins with a file that does not exist yet", async () => {
    const path = join(directory, `${files++}.log`);
    const { seen, done, end } = follow(path);
    await Bun.sleep(20);
    const log = new JsonFileLog({ path, onTrouble: () => undefined });
    log.write("stdout", Buffer.from("first\n"));
    await until(() => seen.text === "first\n");
    log.close();
    end();
    await done;
  });

  test("loses and doubles no line over rotations", async () => {
    const { path, log, line } = newLog({ maxSizeBytes: 20_000, maxFiles: 200 });
    const { seen, done, end } = follow(path);
    let expected = "";
    for (let index = 0; index < 20_000; index++) {
      const text = `line ${index}\n`;
      line(text);
      expected += text;
      if (index % 500 === 0) await Bun.sleep(1);
    }
    log.close();
    end();
    await done;
    expect(seen.text === expected).toBe(true);
  }, 20_000);

  test("goes on when a log of one file is emptied", async () => {
    const { path, log, line } = newLog({ maxSizeBytes: 1000 });
    const { seen, done, end } = follow(path);
    for (let index = 0; index < 60; index++) {
      line(`line ${index}\n`);
      await until(() => seen.text.endsWith(`line ${index}\n`));
    }
    log.close();
    end();
    await done;
    expect(seen.text).toBe(Array.from({ length: 60 }, (_, index) => `line ${index}\n`).join(""));
  });

  test("ends when it is told to, and at the time that it was given", async () => {
    const { path, log, line } = newLog();
    line("one\n");
    const abort = new AbortController();
    const aborted = follow(path, { signal: abort.signal });
    await until(() => aborted.seen.text === "one\n");
    abort.abort();
    await aborted.done;
    const timed = follow(path, { until: BigInt(Date.now() + 50) * 1_000_000n });
    await timed.done;
    expect(timed.seen.text).toBe("one\n");
    log.close();
  });

  test("costs nothing while nothing is added", async () => {
    const { path, log } = newLog();
    const { done, end } = follow(path);
    await Bun.sleep(50);
    const before = process.cpuUsage();
    await Bun.sleep(300);
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(50_000);
    log.close();
    end();
    await done;
  });
});

describe("a log that was opened", () => {
  const isOpen = (path: string) =>
    readdirSync("/proc/self/fd").some((number) => {
      try {
        return readlinkSync(`/proc/self/fd/${number}`).startsWith(path);
      } catch {
        return false;
      }
    });

  test("is read whole though it is removed before its reader begins, while it is followed", async () => {
    const { path, log, line } = newLog();
    line("kept\n");
    const ended = Promise.withResolvers<void>();
    const { signal } = new AbortController();
    const output = await openLog(path, { ...bare, follow: { ended: ended.promise }, signal });
    line("too\n");
    rmSync(path);
    ended.resolve();
    expect(Buffer.concat(await Array.fromAsync(output)).toString()).toBe("kept\ntoo\n");
    log.close();
  });

  test("is closed with its reader's signal when nobody reads it, and where there is none, is empty", async () => {
    const { path, log, line } = newLog();
    line("x\n");
    log.close();
    const controller = new AbortController();
    await openLog(path, { ...bare, signal: controller.signal });
    await openLog(path, { ...bare, follow: { ended: new Promise(() => undefined) }, signal: controller.signal });
    expect(isOpen(path)).toBe(true);
    controller.abort();
    await until(() => !isOpen(path));
    const none = await openLog(`${path}.none`, { ...bare, signal: new AbortController().signal });
    expect(await Array.fromAsync(none)).toEqual([]);
  });
});

describe("times of records", () => {
  test("are compared to the nanosecond", () => {
    expect(parseTime("1970-01-01T00:00:01.000000001Z")).toBe(1_000_000_001n);
    expect(parseTime("1970-01-01T01:00:00+01:00")).toBe(0n);
    for (const bad of ["", "1970", "1970-01-01T00:00:01", "1970-13-01T00:00:01Z"])
      expect(parseTime(bad)).toBeUndefined();
    expect(padTime("2026-01-02T03:04:05.5Z")).toBe("2026-01-02T03:04:05.500000000Z");
  });
});
