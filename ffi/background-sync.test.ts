import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fdatasyncInBackground, syncfsInBackground } from "./background-sync.ts";
import { O_DIRECTORY, O_RDONLY, O_RDWR } from "./constants/open.ts";
import { open, pipe2 } from "./files.ts";

let directory: string;

beforeAll(() => {
  directory = mkdtempSync("/var/tmp/tsd-sync-");
});

afterAll(() => rmSync(directory, { recursive: true }));

function children(): string {
  return readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
}

test("a file and its file system are waited for by processes that leave nothing", async () => {
  writeFileSync(`${directory}/file`, "x".repeat(1_000_000));
  using file = open(`${directory}/file`, O_RDWR);
  using whole = open(directory, O_RDONLY | O_DIRECTORY);
  await Promise.all([fdatasyncInBackground(file), syncfsInBackground(whole), syncfsInBackground(whole)]);
  expect(children()).toBe("");
});

test("what the kernel says is the error, with the path", async () => {
  const { reader, writer } = pipe2();
  using _reader = reader;
  using _writer = writer;
  expect(fdatasyncInBackground(reader, "/the/pipe")).rejects.toThrow(/fdatasync \/the\/pipe: EINVAL|EINVAL/);
});
