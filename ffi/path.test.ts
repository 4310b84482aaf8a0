import { expect, test } from "bun:test";
import { posix } from "node:path";
import { basename, dirname, isAbsolute, join, normalize, resolve } from "./path.ts";

/** All paths of up to four parts. */
const paths: string[] = [""];
for (let from = 0, round = 0; round < 4; round++) {
  const end = paths.length;
  for (const path of paths.slice(from))
    for (const part of ["a", "b.c", ".", "..", "/"]) {
      paths.push(`${path}${path === "" || path.endsWith("/") ? "" : "/"}${part}`);
    }
  from = end;
}

test("the functions of paths answer as node's", () => {
  for (const path of paths) {
    const of = (functions: Pick<typeof posix, "basename" | "dirname" | "normalize" | "resolve" | "isAbsolute">) => [
      functions.basename(path),
      // Of doubled slashes node leaves one at the end.
      posix.resolve(functions.dirname(path)),
      functions.normalize(path),
      functions.resolve(path),
      functions.isAbsolute(path),
    ];
    expect({ path, answers: of({ basename, dirname, normalize, resolve, isAbsolute }) }).toEqual({
      path,
      answers: of(posix),
    });
  }
});

test("paths are joined and resolved as node does", () => {
  const some = paths.filter((_, index) => index % 7 === 0);
  for (const first of some)
    for (const second of some) {
      expect(join(first, second)).toBe(posix.join(first, second));
      expect(resolve(first, second)).toBe(posix.resolve(first, second));
    }
});
