import { describe, expect, test } from "bun:test";
import { isEngineError } from "../../core/errors.ts";
import { adjectives, surnames } from "./name-words.ts";
import { NameRegistry, parseContainerName } from "./names.ts";

describe("container names", () => {
  test("a leading slash is taken off, docker's alphabet holds", () => {
    expect(parseContainerName("/web")).toBe("web");
    expect(parseContainerName("a_b.c-9")).toBe("a_b.c-9");
    for (const wrong of ["", "/", "a", "-web", "we b", "web/1", "wéb", "..", "web\n"]) {
      expect(() => parseContainerName(wrong)).toThrow(`Invalid container name (${wrong}), only`);
    }
  });

  test("a taken name is refused with its holder's id, in docker's words", () => {
    const names = new NameRegistry();
    names.reserve("web", "c1");
    let refusal: unknown;
    try {
      names.reserve("web", "c2");
    } catch (error) {
      refusal = error;
    }
    expect(isEngineError(refusal, "already_exists")).toBe(true);
    expect((refusal as Error).message).toBe(
      'Conflict. The container name "/web" is already in use by container "c1". ' +
        "You have to remove (or rename) that container to be able to reuse that name.",
    );
  });

  test("only the holder releases a name", () => {
    const names = new NameRegistry();
    names.reserve("web", "c1");
    names.release("web", "c2");
    expect(names.holder("web")).toBe("c1");
    names.release("web", "c1");
    names.reserve("web", "c2");
    expect(names.holder("web")).toBe("c2");
  });

  test("generated names are valid, and stay unique when the dice always fall the same", () => {
    const names = new NameRegistry();
    let throws = 0;
    const loaded = (max: number) => (max === adjectives.length || max === surnames.length ? 1 : throws++ % max);
    const all = Array.from({ length: 40 }, (_, n) => names.reserveGenerated(`c${n}`, loaded));
    expect(new Set(all).size).toBe(all.length);
    for (const name of all) expect(parseContainerName(name)).toBe(name);
  });

  test("no word appears twice, and all are plain letters", () => {
    for (const words of [adjectives, surnames]) {
      expect(new Set(words).size).toBe(words.length);
      for (const word of words) expect(word).toMatch(/^[a-z]+$/);
    }
  });
});
