import { describe, expect, test } from "bun:test";
import {
  aliasFlag,
  boolFlag,
  bytesFlag,
  checkedListFlag,
  intFlag,
  labelFlag,
  listFlag,
  mapFlag,
  nanoCpusFlag,
  parseFlags,
  platformFlagOf,
  stringFlag,
  stringsFlag,
} from "./flags.ts";

const flags = {
  interactive: boolFlag("", { short: "i" }),
  tty: boolFlag("", { short: "t" }),
  "sig-proxy": boolFlag("", { initial: true }),
  env: listFlag("", { short: "e" }),
  name: stringFlag(""),
  memory: bytesFlag("", { short: "m" }),
  time: intFlag("", { short: "T", initial: -1 }),
  cpus: nanoCpusFlag(""),
};

describe("flags", () => {
  test("are read long, short, joined and clustered", () => {
    const { values, positionals } = parseFlags(
      flags,
      ["-it", "-eA=1", "-e", "B=2", "--env=C=3", "-m=1k", "--sig-proxy=false", "--time", "-5", "--cpus", "1.5", "x"],
      false,
    );
    expect(values).toMatchObject({
      interactive: true,
      tty: true,
      env: ["A=1", "B=2", "C=3"],
      memory: 1024,
      "sig-proxy": false,
      time: -5,
      cpus: 1_500_000_000,
    });
    expect(positionals).toEqual(["x"]);
  });

  test("stop at the first positional where the rest is another program's", () => {
    const { values, positionals } = parseFlags(flags, ["-i", "alpine", "sh", "-c", "-t"], false);
    expect(values.tty).toBe(false);
    expect(positionals).toEqual(["alpine", "sh", "-c", "-t"]);
  });

  test("may follow positionals elsewhere, until --", () => {
    const { values, positionals } = parseFlags(flags, ["a", "-t", "--", "-i"]);
    expect(values).toMatchObject({ tty: true, interactive: false });
    expect(positionals).toEqual(["a", "-i"]);
  });

  test("a lone dash is a positional", () => {
    expect(parseFlags(flags, ["-"]).positionals).toEqual(["-"]);
  });

  test.each([
    [["--nosuch"], "unknown flag: --nosuch"],
    [["-ix"], "unknown shorthand flag: 'x' in -x"],
    [["--name"], "flag needs an argument: --name"],
    [["-ie"], "flag needs an argument: 'e' in -e"],
    [["---x"], "bad flag syntax: ---x"],
    [["--toString"], "unknown flag: --toString"],
    [["-m", "x"], `invalid argument "x" for "-m, --memory" flag: invalid size: 'x'`],
    [
      ["--tty=maybe"],
      `invalid argument "maybe" for "-t, --tty" flag: strconv.ParseBool: parsing "maybe": invalid syntax`,
    ],
    [["--cpus", "lots"], `invalid argument "lots" for "--cpus" flag: failed to parse lots as a rational number`],
  ])("%j is refused with pflag's words", (argv, message) => {
    expect(() => parseFlags(flags, argv)).toThrow(message);
  });
});

test("a platform may be said once for all commands, and by a flag otherwise", () => {
  const flags = { platform: platformFlagOf({ DOCKER_DEFAULT_PLATFORM: "linux/arm64" }) };
  expect(parseFlags(flags, []).values.platform).toBe("linux/arm64");
  expect(parseFlags(flags, ["--platform", "linux/386"]).values.platform).toBe("linux/386");
  expect(parseFlags({ platform: platformFlagOf({}) }, []).values.platform).toBe("");
});

describe("lists and maps", () => {
  const network = listFlag("");
  const kinds = {
    network,
    net: aliasFlag("network", network),
    gateway: stringsFlag(""),
    opt: mapFlag("", { short: "o" }),
    label: labelFlag(""),
    even: checkedListFlag("", (text) => {
      if (text.length % 2 === 1) throw new Error("odd");
      return text.toUpperCase();
    }),
  };
  const valuesOf = (...words: string[]) => parseFlags(kinds, words).values;

  test("are read in their order, also by another name", () => {
    expect(valuesOf("--network", "a", "--net=b", "--network", "c").network).toEqual(["a", "b", "c"]);
    expect(parseFlags(kinds, ["--net", "a"]).given).toEqual(new Set(["network"]));
  });

  test("are split at commas where docker does", () => {
    expect(valuesOf("--gateway", 'a,"b,c"', "--gateway", "", "--gateway", "d").gateway).toEqual(["a", "b,c", "d"]);
    expect(() => valuesOf("--gateway", '"a')).toThrow(
      'invalid argument "\\"a" for "--gateway" flag: parse error on line 1',
    );
  });

  test("are maps in which the last of a key counts", () => {
    expect(valuesOf("-o", "a=1", "--opt", "b", "-oa=2=3", "-o", "=x").opt).toEqual({ a: "2=3", b: "", "": "x" });
  });

  test("are checked one by one", () => {
    expect(valuesOf("--even", "ab", "--even", "").even).toEqual(["AB", ""]);
    expect(() => valuesOf("--even", "abc")).toThrow('invalid argument "abc" for "--even" flag: odd');
    expect(valuesOf("--label", " a=b c", "--label", "d").label).toEqual([" a=b c", "d"]);
    expect(() => valuesOf("--label", "a b=c")).toThrow("label 'a b' contains whitespaces");
    expect(() => valuesOf("--label", " =c")).toThrow("invalid label ' =c': empty name");
  });
});
