import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { O_DIRECTORY, O_PATH, O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open, write } from "../../ffi/files.ts";
import { PendingFile } from "./pending-file.ts";

let directory: string;
let parent: Fd;
beforeEach(() => {
  directory = mkdtempSync("/tmp/tsd-pending-");
  parent = open(directory, O_RDONLY | O_DIRECTORY);
});
afterEach(() => {
  parent.close();
  rmSync(directory, { recursive: true });
});

const content = () => Object.fromEntries(readdirSync(directory).map((name) => [name, read(name)]));
const read = (name: string) => readFileSync(`${directory}/${name}`, "utf8");
const bytes = (name: string) => Buffer.from(name);

test.each([
  ["without a name", PendingFile.open],
  ["under a hidden name", PendingFile.openNamed],
] as const)("a file %s gets its name when it is whole, and leaves nothing where it never is", (_, start) => {
  writeFileSync(`${directory}/old`, "old");
  {
    using file = start(parent);
    write(file.fd, "new");
    expect(() => file.name(bytes("old"))).toThrow("EEXIST");
    file.name(bytes("a"));
  }
  {
    using file = start(parent);
    write(file.fd, "never");
  }
  expect(content()).toEqual({ a: "new", old: "old" });
});

test("a directory that cannot be written to has none", () => {
  using proc = open("/proc/self", O_PATH | O_DIRECTORY);
  expect(() => PendingFile.open(proc)).toThrow();
});
