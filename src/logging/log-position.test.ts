import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { JsonFileLog, type JsonFileOptions } from "./json-file.ts";
import { BlockEncoder } from "./local-format.ts";
import { endOfLog } from "./log-end.ts";
import type { LogPosition } from "./log-position.ts";
import { readLog } from "./read.ts";

const directory = mkdtempSync("/var/tmp/tsd-log-position-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function newLog(options: Partial<JsonFileOptions> = {}) {
  const path = join(directory, `${files++}.log`);
  const log = new JsonFileLog({ path, onTrouble: (message) => expect(message).toBe("no trouble"), ...options });
  return { path, log, write: (text: string) => log.write("stdout", Buffer.from(text)) };
}

async function readBefore(path: string, before: LogPosition | undefined): Promise<string> {
  const bare = { stdout: true, stderr: true, multiplexed: false, timestamps: false, details: false };
  const pieces = await Array.fromAsync(readLog(path, { ...bare, ...(before && { before }) }));
  return Buffer.concat(pieces).toString();
}

function held(text: string): string {
  return Buffer.from(text).toString("base64");
}

describe("a seam", () => {
  test("parts what is in the log from what is held back of a line and from what comes", async () => {
    const { path, log, write } = newLog();
    const empty = log.seam();
    write("one\nbeg");
    log.write("stderr", Buffer.from("err\nor\nlast"));
    const seam = log.seam();
    expect(seam.held).toEqual({ stdout: held("beg"), stderr: held("last") });
    write("inning\ntwo\n");
    expect(await readBefore(path, seam.position)).toBe("one\nerr\nor\n");
    expect(await readBefore(path, empty.position)).toBe("");
    expect(log.seam().held).toEqual({ stdout: "", stderr: held("last") });
    log.close();
  });

  test("is found again in rotated files, and nothing is read of newer ones", async () => {
    const { path, log, write } = newLog({ maxSizeBytes: 200, maxFiles: 4 });
    for (let line = 0; line < 5; line++) write(`line ${line}\n`);
    const { position } = log.seam();
    const before = "line 0\nline 1\nline 2\nline 3\nline 4\n";
    expect(await readBefore(path, position)).toBe(before);
    for (let line = 5; line < 7; line++) write(`line ${line}\n`);
    expect(await readBefore(path, position)).toBe(before);
    for (let line = 7; line < 20; line++) write(`line ${line}\n`);
    // By now it has been rotated out of existence.
    expect(await readBefore(path, position)).toBe("");
    log.close();
  });

  test("in a file that was emptied and has grown again since is none of it", async () => {
    const { path, log, write } = newLog({ maxSizeBytes: 200 });
    write("first\n");
    const { position } = log.seam();
    for (let line = 0; line < 5; line++) write("other\n");
    expect(await readBefore(path, position)).toBe("");
    expect(await readBefore(path, log.seam().position)).toBe("other\nother\n");
    log.close();
  });
});

describe("the end of a log", () => {
  test("comes before what a crash left of a record, and stays where it is when the log goes on", async () => {
    const { path, log, write } = newLog();
    write("whole\n");
    log.close();
    appendFileSync(path, '{"log":"torn');
    const end = await endOfLog(path);
    const next = new JsonFileLog({ path, onTrouble: () => undefined });
    next.write("stdout", Buffer.from("after\n"));
    next.close();
    expect(await readBefore(path, end)).toBe("whole\n");
  });

  test("of an empty log is its beginning, and of none there is none", async () => {
    const path = join(directory, "empty.log");
    expect(await endOfLog(path)).toBeUndefined();
    writeFileSync(path, "");
    expect(await endOfLog(path)).toMatchObject({ bytes: 0, mark: "" });
  });
});

test("the end of a local log comes before what a crash left of a block", async () => {
  const path = join(directory, "local.log");
  const encoder = new BlockEncoder(1024);
  encoder.encode({ stream: "stdout", time: 1n, text: Buffer.from("whole\n") }, 0, 0, Number.POSITIVE_INFINITY);
  const whole = encoder.encoded.slice();
  writeFileSync(path, Buffer.concat([whole, whole.subarray(0, -3)]));
  expect(await endOfLog(path)).toMatchObject({ bytes: whole.length });
});

test("what is not followed ends where it ended at the first look, however fast it grows", async () => {
  const { path, log, write } = newLog();
  write("then\n".repeat(5000));
  const bare = { stdout: true, stderr: true, multiplexed: false, timestamps: false, details: false };
  let text = "";
  for await (const piece of readLog(path, bare)) {
    text += Buffer.from(piece).toString();
    write("now\n".repeat(5000));
  }
  expect(text).toBe("then\n".repeat(5000));
  log.close();
});
