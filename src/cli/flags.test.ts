import { describe, expect, test } from "bun:test";
import {
  boolFlag,
  bytesFlag,
  intFlag,
  listFlag,
  nanoCpusFlag,
  parseFlags,
  platformFlagOf,
  stringFlag,
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
    [["--cpus", "lots"], `invalid argument "lots" for "--cpus" flag: failed to parse value as a rational number`],
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
