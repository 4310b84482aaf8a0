import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { O_DIRECTORY, O_PATH } from "../../ffi/constants/open.ts";
import { open } from "../../ffi/files.ts";
import { canBeSilent, mountSilentServer } from "../core/testing/silent-server.ts";
import { isLocalPath, openSubpath, reachSubpath, type SubpathRoot } from "./subpath.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-subpath-"));
  mkdirSync(join(root, "folder/below"), { recursive: true });
  mkdirSync(join(root, "links"));
  writeFileSync(join(root, "folder/file"), "inside");
  symlinkSync("../folder", join(root, "links/relative"));
  symlinkSync("/folder/file", join(root, "links/absolute"));
  symlinkSync("../../../../../../../../etc/passwd", join(root, "links/upwards"));
  symlinkSync("upwards", join(root, "links/twice"));
  symlinkSync("loop", join(root, "links/loop"));
  symlinkSync("/proc/self/cwd", join(root, "links/magic"));
});
afterAll(() => rmSync(root, { recursive: true }));

function read(kind: SubpathRoot, path: string): string {
  using directory = open(root, O_PATH | O_DIRECTORY);
  using found = openSubpath(directory, path, { kind, shown: "/shown" });
  return readFileSync(`/proc/self/fd/${found.number}`, "utf8");
}

test("a path is local when it stays inside as it is written", () => {
  for (const path of ["a", "./a", "a/..", "a/../b", "a//b/", ".", "..a"]) expect(isLocalPath(path)).toBe(true);
  for (const path of ["", "/", "/a", "..", "a/../..", "../a", "a/../../b"]) expect(isLocalPath(path)).toBe(false);
});

describe("what a path inside leads to", () => {
  test("may be behind symlinks that stay inside", () => {
    expect(read("volume", "folder/file")).toBe("inside");
    expect(read("volume", "links/relative/below/../file")).toBe("inside");
    expect(read("image", "links/relative/file")).toBe("inside");
  });

  test("is in an image where its absolute symlinks say, which in a volume lead out", () => {
    expect(read("image", "links/absolute")).toBe("inside");
    const escapes = "path concatenation escapes the base directory, base: /shown, subpath: links/absolute";
    expect(() => read("volume", "links/absolute")).toThrow(escapes);
  });

  test("is never outside", () => {
    for (const path of ["links/upwards", "links/twice", "links/magic"]) {
      expect(() => read("volume", path)).toThrow("path concatenation escapes the base directory");
      expect(() => read("image", path)).toThrow(`cannot access path /shown/${path}: no such file or directory`);
    }
  });

  test("is said not to be there, or not to be a folder", () => {
    expect(() => read("volume", "missing")).toThrow("cannot access path /shown/missing: no such file or directory");
    expect(() => read("volume", "folder/file/x")).toThrow("cannot access path /shown/folder/file/x: not a directory");
    expect(() => read("volume", "links/loop")).toThrow("too many levels of symbolic links");
  });

  test("stays what was found when the name is exchanged afterwards", () => {
    using directory = open(root, O_PATH | O_DIRECTORY);
    mkdirSync(join(root, "swapped"));
    writeFileSync(join(root, "swapped/hostname"), "mine");
    using found = openSubpath(directory, "swapped", { kind: "volume", shown: root });
    renameSync(join(root, "swapped"), join(root, "away"));
    symlinkSync("/etc", join(root, "swapped"));
    expect(readFileSync(`/proc/self/fd/${found.number}/hostname`, "utf8")).toBe("mine");
  });
});

test.skipIf(!canBeSilent)(
  "a part that a server is asked for holds up nobody else, and others need not wait",
  async () => {
    using directory = open(root, O_PATH | O_DIRECTORY);
    for (const path of ["folder/file", "links/relative", "links/upwards", "links/absolute", "none"]) {
      await reachSubpath(directory, path, "volume");
    }
    const far = join(root, "far");
    const server = await mountSilentServer(far);
    const answered = reachSubpath(directory, "far/folder", "volume").then(() => "answered");
    expect(await Promise.race([answered, Bun.sleep(50).then(() => "others go on")])).toBe("others go on");
    await server[Symbol.asyncDispose]();
    expect(await answered).toBe("answered");
  },
);
