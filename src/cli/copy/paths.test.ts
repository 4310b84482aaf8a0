import { describe, expect, test } from "bun:test";
import {
  absolute,
  assertsDirectory,
  behindLink,
  type CopySource,
  type CopyTarget,
  lastName,
  linkTargetOf,
  planCopy,
  splitArgument,
  splitPath,
} from "./paths.ts";

describe("arguments", () => {
  test.each([
    ["c:/x", "c", "/x"],
    ["c:x:y", "c", "x:y"],
    ["c:", "c", ""],
    ["/a:b", undefined, "/a:b"],
    ["./a:b", undefined, "./a:b"],
    ["../a:b", undefined, "../a:b"],
    [".a:b", undefined, ".a:b"],
    ["a", undefined, "a"],
    ["-", undefined, "-"],
    [":x", undefined, ":x"],
  ])("%p", (argument, container, path) => {
    expect(splitArgument(argument)).toEqual({ path, ...(container !== undefined && { container }) });
  });
});

describe("paths", () => {
  test.each([
    ["/a/b", "/a", "b"],
    ["/a/b/", "/a", "b"],
    ["/a/b/.", "/a/b", "."],
    ["/a/b/./", "/a/b", "."],
    ["/a//b/../c", "/a", "c"],
    ["/", "/", "/"],
    ["/.", "/", "."],
    ["a", ".", "a"],
    ["a/", ".", "a"],
    [".", ".", "."],
    ["", ".", "."],
  ])("%p lies in %p and is called %p", (path, directory, name) => {
    expect(splitPath(path)).toEqual({ directory, name });
  });

  test("a final slash and a final /. stay", () => {
    expect([absolute("/a/../b/"), absolute("/a/./."), absolute("/b/./"), absolute("/")]).toEqual([
      "/b/",
      "/a/.",
      "/b/./",
      "/",
    ]);
    expect(["a/", "a/.", ".", "a/./"].every(assertsDirectory)).toBe(true);
    expect(["a", "a/..", "a/b.", "a/.b"].some(assertsDirectory)).toBe(false);
    expect(["/", "/a/", "/a/.", "/a/./", "."].map(lastName)).toEqual(["/", "a", ".", ".", "."]);
  });

  test("links", () => {
    expect(linkTargetOf("/a/l", "b/c")).toBe("/a/b/c");
    expect(linkTargetOf("/a/l", "../c/")).toBe("/c");
    expect(linkTargetOf("/a/l", "/d")).toBe("/d");
    expect(behindLink("/a/l", "/x/y")).toEqual({ path: "/x/y", name: "l" });
    expect(behindLink("/a/l/", "/x/y")).toEqual({ path: "/x/y/", name: "l" });
    expect(behindLink("/a/l/.", "/x/y")).toEqual({ path: "/x/y/." });
    expect(behindLink("/a/y", "/x/y")).toEqual({ path: "/x/y" });
  });
});

describe("what is copied where", () => {
  const [file, directory, content]: CopySource[] = [
    { path: "/s/f", isDirectory: false, name: "f" },
    { path: "/s/d", isDirectory: true, name: "d" },
    { path: "/s/d/.", isDirectory: true, name: "." },
  ];
  const [none, noneDirectory, there, thereFile]: CopyTarget[] = [
    { path: "/t/n", kind: undefined },
    { path: "/t/n/", kind: undefined },
    { path: "/t/e/", kind: "directory" },
    { path: "/t/e", kind: "other" },
  ];

  test.each([
    ["a file to a new name", file, none, "/t", "n"],
    ["a file into a directory", file, there, "/t/e/", "f"],
    ["a file onto a file", file, thereFile, "/t", "e"],
    ["a directory to a new name", directory, none, "/t", "n"],
    ["a directory to a new name with a slash", directory, noneDirectory, "/t", "n"],
    ["a directory into a directory", directory, there, "/t/e/", "d"],
    ["a directory's content to a new name", content, none, "/t", "n"],
    ["a directory's content into a directory", content, there, "/t/e/", "."],
    ["a link's target into a directory", { path: "/x/y", isDirectory: false, name: "l" }, there, "/t/e/", "l"],
    ["a link's target to a new name", { path: "/x/y", isDirectory: false, name: "l" }, none, "/t", "n"],
  ] as [string, CopySource, CopyTarget, string, string][])("%s", (_, source, target, where, name) => {
    expect(planCopy(source, target)).toEqual({ directory: where, name });
  });

  test("a file does not make a directory, and a directory does not replace a file", () => {
    expect(() => planCopy(file!, noneDirectory!)).toThrow("no such directory");
    expect(() => planCopy(file!, { path: "/t/n/.", kind: undefined })).toThrow("no such directory");
    expect(() => planCopy(directory!, thereFile!)).toThrow("cannot copy directory");
    expect(() => planCopy(content!, thereFile!)).toThrow("cannot copy directory");
  });
});
