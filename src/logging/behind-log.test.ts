import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BehindLog } from "./behind-log.ts";
import { JsonFileLog } from "./json-file.ts";
import { LocalLog } from "./local-log.ts";
import type { LogFormatName } from "./log-format.ts";
import { type ReadLogOptions, readLog } from "./read.ts";

const directory = mkdtempSync("/var/tmp/tsd-behind-log-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const shown: ReadLogOptions = { stdout: true, stderr: true, multiplexed: false, timestamps: false, details: false };

async function textOf(path: string, format: LogFormatName, options: Partial<ReadLogOptions> = {}): Promise<string> {
  return Buffer.concat(await Array.fromAsync(readLog(path, { ...shown, format, ...options }))).toString();
}

for (const format of ["json-file", "local"] as const) {
  const open = (name: string, bufferBytes: number, maxSizeBytes = 1e6) => {
    const path = join(directory, `${format}-${name}`);
    const options = { path, maxSizeBytes, maxFiles: 100, deferred: true, onTrouble: () => undefined };
    const log = new BehindLog(format === "local" ? new LocalLog(options) : new JsonFileLog(options), bufferBytes);
    return { path, log };
  };

  test(`a ${format} log that nobody waits for has all lines in order, over rotations, when it is closed`, async () => {
    const { path, log } = open("whole", 1 << 20, 10_000);
    const lines = Array.from({ length: 3000 }, (_, index) => `line ${index}\n`).join("");
    for (let at = 0; at < lines.length; at += 777) log.write("stdout", Buffer.from(lines.slice(at, at + 777)));
    log.write("stdout", Buffer.from("end"));
    await log.close();
    expect(await textOf(path, format)).toBe(`${lines}end`);
    expect(log.lostLines).toBe(0);
  });

  test(`a ${format} log's buffer that is full loses lines, counts them, and says so in the log`, async () => {
    const { path, log } = open("full", 1000);
    const chunk = Buffer.from("0123456789\n".repeat(60));
    for (let count = 0; count < 5; count++) log.write("stdout", chunk);
    expect(log.lostLines).toBe(180);
    await log.close();
    const text = await textOf(path, format);
    expect(text.match(/0123456789\n/g)).toHaveLength(120);
    expect(text).toContain("tsd: 180 lines of this log were lost: the log's buffer of 1000 bytes was full\n");
  });

  test(`who attaches to a ${format} log gets what waits in its buffer after what is in the file, and nothing twice`, async () => {
    const { path, log } = open("seam", 1 << 20);
    const write = (text: string) => log.write("stdout", Buffer.from(text));
    write("one\ntw");
    write("o\nthree\nfo");
    const asked = log.seam();
    write("ur\n");
    const { position, held } = (await asked)!;
    const before = await textOf(path, format, { before: position });
    expect(before + Buffer.from(held.stdout, "base64").toString()).toBe("one\ntwo\nthree\nfo");
    await log.close();
    expect(await textOf(path, format)).toBe("one\ntwo\nthree\nfour\n");
  });
}
