import { afterAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { putFile, putFileByName } from "./whole-file.ts";

const parent = mkdtempSync(join(tmpdir(), "tsd-whole-"));
afterAll(() => rmSync(parent, { recursive: true }));

describe.each([putFile, putFileByName])("%p", (put) => {
  const directory = join(parent, put.name);
  mkdirSync(directory);
  const path = join(directory, "file");

  test("makes a file, and replaces it", () => {
    for (const text of ["first", "the second"]) {
      put(path, text, 0o640);
      expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual([text, 0o640]);
    }
    expect(readdirSync(directory)).toEqual(["file"]);
  });

  test("replaces a symlink, and leaves alone what it leads to", () => {
    const [target, link] = [join(directory, "target"), join(directory, "link")];
    symlinkSync(target, link);
    symlinkSync(target, join(directory, ".link"));
    put(link, "text", 0o600);
    expect(lstatSync(link).isFile()).toBe(true);
    expect(readdirSync(directory)).not.toContain("target");
  });

  test("refuses a directory's name, and a directory that is not there; nothing is left", () => {
    mkdirSync(join(directory, "taken"));
    const before = readdirSync(directory);
    expect(() => put(join(directory, "taken"), "text", 0o600)).toThrow("EISDIR");
    expect(() => put(join(directory, "no", "file"), "text", 0o600)).toThrow("ENOENT");
    expect(readdirSync(directory)).toEqual(before);
  });
});

test("a file that many processes put at once is always there whole", async () => {
  const path = join(parent, "contended");
  const program = `import { putFile } from ${JSON.stringify(join(import.meta.dir, "whole-file.ts"))};
    for (let count = 0; count < 300; count++) putFile(${JSON.stringify(path)}, "x".repeat(1000), 0o600);`;
  const children = [1, 2, 3].map(() => Bun.spawn([process.execPath, "-e", program], { stderr: "pipe" }));
  for (const child of children) expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, ""]);
  expect(readFileSync(path, "utf8")).toBe("x".repeat(1000));
  expect(readdirSync(parent).sort()).toEqual(["contended", "putFile", "putFileByName"]);
});
