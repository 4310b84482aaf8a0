import { describe, expect, test } from "bun:test";
import { type FlagTable, parseFlags, UsageError } from "./flags.ts";

const table = {
  bundle: { kind: "text", alias: "b", default: "", usage: "bundle" },
  process: { kind: "text", alias: "p", usage: "file" },
  env: { kind: "texts", alias: "e", usage: "variable" },
  "preserve-fds": { kind: "integer", default: 0, usage: "count" },
  "additional-gids": { kind: "integers", alias: "g", usage: "groups" },
  detach: { kind: "boolean", alias: "d", usage: "detach" },
} as const satisfies FlagTable;

const parse = (words: string[], interspersed = true) => parseFlags(table, words, { interspersed });

describe("flags", () => {
  test("take their value from the next word or after an equals sign, with one dash or two", () => {
    for (const words of [["--bundle", "/b"], ["-bundle=/b"], ["-b", "/b"], ["-b=/b"], ["--b=/b"]]) {
      expect(parse([...words, "id"])).toMatchObject({ flags: { bundle: "/b" }, positional: ["id"] });
    }
    expect(parse(["--bundle=a=b"]).flags.bundle).toBe("a=b");
  });
  test("have defaults, and repeated ones collect", () => {
    expect(parse([]).flags).toEqual({
      bundle: "",
      process: undefined,
      env: [],
      "preserve-fds": 0,
      "additional-gids": [],
      detach: false,
    });
    const { flags } = parse(["-e", "A=1", "--env=B=2", "-g", "5", "-g=6", "--preserve-fds", "3"]);
    expect(flags.env).toEqual(["A=1", "B=2"]);
    expect(flags["additional-gids"]).toEqual([5, 6]);
    expect(flags["preserve-fds"]).toBe(3);
  });
  test("of boolean kind never eat the next word", () => {
    expect(parse(["-d", "id"])).toMatchObject({ flags: { detach: true }, positional: ["id"] });
    expect(parse(["--detach=false", "id"])).toMatchObject({ flags: { detach: false } });
  });
  test("after the first positional belong to the command when the verb runs one", () => {
    const parsed = parse(["-d", "id", "sh", "-c", "echo", "-e", "x"], false);
    expect(parsed.positional).toEqual(["id", "sh", "-c", "echo", "-e", "x"]);
    expect(parsed.flags.env).toEqual([]);
  });
  test("after the first positional are read when the verb runs none", () => {
    expect(parse(["id", "--detach"])).toMatchObject({ flags: { detach: true }, positional: ["id"] });
    expect(parse(["id", "--", "--detach"])).toMatchObject({ flags: { detach: false }, positional: ["id", "--detach"] });
  });
  test("-h asks for help, a lone dash is an argument", () => {
    expect(parse(["-h"]).help).toBe(true);
    expect(parse(["--help", "id"]).help).toBe(true);
    expect(parse(["-"]).positional).toEqual(["-"]);
  });
  test("are refused in the words of Go's flag package", () => {
    const cases: [string[], string][] = [
      [["--foo"], "flag provided but not defined: -foo"],
      [["-dx"], "flag provided but not defined: -dx"],
      [["id", "-b"], "flag needs an argument: -b"],
      [["--preserve-fds=x"], 'invalid value "x" for flag -preserve-fds: parse error'],
      [["--detach=maybe"], 'invalid boolean value "maybe" for -detach: parse error'],
      [["---bundle"], "bad flag syntax: ---bundle"],
      [["--=x"], "bad flag syntax: --=x"],
    ];
    for (const [words, message] of cases) expect(() => parse(words)).toThrow(new UsageError(message));
  });
});
