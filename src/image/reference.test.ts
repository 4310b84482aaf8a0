import { describe, expect, test } from "bun:test";
import {
  canonicalReference,
  familiarName,
  familiarReference,
  isTag,
  parseReference,
  parseRepository,
} from "./reference.ts";
import { badReferences, goodReferences, shadowedReferences } from "./reference-fixture.ts";

describe("references", () => {
  test.each([...goodReferences, ...shadowedReferences])("%s is %s", (text, canonical, familiar) => {
    const reference = parseReference(text);
    expect(canonicalReference(reference)).toBe(canonical);
    expect(familiarReference(reference)).toBe(familiar);
    expect(parseReference(canonical)).toEqual(reference);
    expect(parseReference(familiar)).toEqual(reference);
  });

  test.each(badReferences)("%j is refused: %s", (text, message) => {
    expect(() => parseReference(text)).toThrow(message);
  });

  test("a repository alone gets no tag", () => {
    const reference = parseRepository("localhost:5000/a/b");
    expect(reference).toEqual({ registry: "localhost:5000", repository: "a/b" });
    expect(familiarName(reference)).toBe("localhost:5000/a/b");
  });

  test("tags are checked by themselves too", () => {
    expect(isTag("v1.0_rc-1")).toBe(true);
    for (const text of ["", "-x", ".x", "a:b", "a/b", "a\n", "t".repeat(129)]) expect(isTag(text)).toBe(false);
  });
});
