import { EngineError, errorMessage } from "../core/errors.ts";
import { parseGoBool } from "../core/go-bool.ts";
import { parseGoDuration } from "../core/go-duration.ts";
import { parseBytes } from "../core/size.ts";
import { csvFields } from "./csv.ts";

/**
 * Command line flags as spf13/pflag reads them, which is what people's fingers and scripts know from docker:
 * `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, `-it`, `--bool=false`, repeated lists, `--`
 * ends the flags. A command that runs another program's words (run, exec) stops at its first positional.
 */
export interface Flag<T> {
  readonly short?: string;
  readonly help: string;
  /** The word behind the name in help, as pflag derives it from the type; none for booleans. */
  readonly valueName: string;
  /** What help shows behind "(default …)"; nothing for zero values. */
  readonly shownDefault?: string;
  /** Accepted, but not listed in help: aliases that docker keeps. */
  readonly hidden?: boolean;
  /** Another name of that flag, which has the value. */
  readonly aliasOf?: string;
  readonly isBoolean: boolean;
  readonly initial: T;
  /** Adds one occurrence to the value so far; throws an Error whose message is the reason. */
  read(text: string, previous: T): T;
}

interface Common {
  short?: string;
  hidden?: boolean;
  valueName?: string;
  shownDefault?: string;
}

// biome-ignore lint/suspicious/noExplicitAny: a set mixes flags of all value types; each is typed again by FlagValues
export type FlagSet = Record<string, Flag<any>>;
export type FlagValues<F extends FlagSet> = { [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

export interface ParsedFlags<F extends FlagSet> {
  values: FlagValues<F>;
  /** The names that were given on the command line. */
  given: Set<keyof F>;
  positionals: string[];
}

/** A mistake in the use of the command line: shown with the command's usage below the message. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** As docker has it, 125 for a flag and 1 for the number of arguments. */
  readonly exitStatus: number;
  /** Shown in place of the usage, where that is of no help. */
  readonly hint: string | undefined;

  constructor(message: string, exitStatus = 125, hint?: string) {
    super(message);
    this.exitStatus = exitStatus;
    this.hint = hint;
  }
}

/** A flag that is not known, or a value that it cannot have. docker says so without its own name in front. */
export class FlagError extends UsageError {}

export function boolFlag(help: string, options: Common & { initial?: boolean } = {}): Flag<boolean> {
  return {
    ...shared(help, "", options),
    ...(options.initial && { shownDefault: "true" }),
    isBoolean: true,
    initial: options.initial ?? false,
    read: (text) => parseBoolean(text),
  };
}

export function stringFlag(help: string, options: Common & { initial?: string } = {}): Flag<string> {
  const initial = options.initial ?? "";
  return {
    ...shared(help, "string", options),
    ...(initial && { shownDefault: JSON.stringify(initial) }),
    isBoolean: false,
    initial,
    read: (text) => text,
  };
}

/** Which platform of an image is meant; DOCKER_DEFAULT_PLATFORM says it for all commands that have this flag. */
export function platformFlagOf(environment: NodeJS.ProcessEnv = process.env): Flag<string> {
  const initial = environment.DOCKER_DEFAULT_PLATFORM ?? "";
  return stringFlag("Set platform if server is multi-platform capable", { initial });
}

export function listFlag(help: string, options: Common = {}): Flag<string[]> {
  return {
    ...shared(help, "list", options),
    isBoolean: false,
    initial: [],
    read: (text, previous) => [...previous, text],
  };
}

/** A list whose every value is checked, and put as the API wants it. @param read throws an Error whose message is the reason. */
export function checkedListFlag(help: string, read: (text: string) => string, options: Common = {}): Flag<string[]> {
  return { ...listFlag(help, options), read: (text, previous) => [...previous, read(text)] };
}

/** A list of what each value stands for. @param read throws an Error whose message is the reason. */
export function valueListFlag<T>(help: string, read: (text: string) => T, options: Common = {}): Flag<T[]> {
  return {
    ...shared(help, "list", options),
    isBoolean: false,
    initial: [],
    read: (text, previous) => [...previous, read(text)],
  };
}

/** A name that docker keeps for what is called otherwise now. */
export function aliasFlag<T>(name: string, flag: Flag<T>): Flag<T> {
  return { ...flag, hidden: true, aliasOf: name };
}

/** A list that may also be given in one word, `a,b`: pflag's StringSlice. */
export function stringsFlag(help: string, options: Common = {}): Flag<string[]> {
  return {
    ...listFlag(help, { valueName: "strings", ...options }),
    read: (text, previous) => [...previous, ...(text === "" ? [] : csvFields(text))],
  };
}

/** `key=value`, repeated; a lone `key` has no value, and the last of a key counts. */
export function mapFlag(help: string, options: Common = {}): Flag<Record<string, string>> {
  return {
    ...shared(help, "map", { shownDefault: "map[]", ...options }),
    isBoolean: false,
    initial: {},
    read: (text, previous) => ({ ...previous, ...keyValue(text) }),
  };
}

/** `key[=value]`. The key must be there and have no blanks in it. */
export function labelFlag(help: string, options: Common = {}): Flag<string[]> {
  return checkedListFlag(
    help,
    (text) => {
      const name = Object.keys(keyValue(text))[0]!.trimStart();
      if (name === "") throw new Error(`invalid label '${text}': empty name`);
      if (/\s/.test(name)) throw new Error(`label '${name}' contains whitespaces`);
      return text;
    },
    options,
  );
}

export function intFlag(help: string, options: Common & { initial?: number } = {}): Flag<number> {
  const initial = options.initial ?? 0;
  return {
    ...shared(help, "int", options),
    ...(initial !== 0 && { shownDefault: String(initial) }),
    isBoolean: false,
    initial,
    read: (text) => parseInteger(text),
  };
}

/** A number from 0 to 65535. */
export function uint16Flag(help: string): Flag<number> {
  return {
    ...shared(help, "uint16", {}),
    isBoolean: false,
    initial: 0,
    read: (text) => {
      const parsing = `strconv.ParseUint: parsing ${JSON.stringify(text)}`;
      if (!/^\d+$/.test(text)) throw new Error(`${parsing}: invalid syntax`);
      if (Number(text) > 65535) throw new Error(`${parsing}: value out of range`);
      return Number(text);
    },
  };
}

/** `1m30s` as nanoseconds. */
export function durationFlag(help: string): Flag<number> {
  return {
    ...shared(help, "duration", {}),
    isBoolean: false,
    initial: 0,
    read: (text) => {
      const milliseconds = parseGoDuration(text);
      if (milliseconds !== undefined) return Math.round(milliseconds * 1e6);
      const isNumber = /^[+-]?\d+\.?\d*$/.test(text);
      throw new Error(`time: ${isNumber ? "missing unit in" : "invalid"} duration ${JSON.stringify(text)}`);
    },
  };
}

/** Bytes with a unit, `512m`; -1 means unlimited where `unlimited` is set. */
export function bytesFlag(help: string, options: Common & { unlimited?: boolean } = {}): Flag<number> {
  return {
    ...shared(help, "bytes", options),
    isBoolean: false,
    initial: 0,
    read: (text) => (options.unlimited && text === "-1" ? -1 : parseBytes(text)),
  };
}

/** `--cpus 1.5` as billionths of a CPU, the Engine API's NanoCpus. */
export function nanoCpusFlag(help: string): Flag<number> {
  return {
    ...shared(help, "decimal", {}),
    isBoolean: false,
    initial: 0,
    read: (text) => {
      if (!/^\d*\.?\d+$|^\d+\.$/.test(text)) throw new Error(`failed to parse ${text} as a rational number`);
      const nano = Number(text) * 1e9;
      if (!Number.isInteger(Math.round(nano * 1e3) / 1e3)) throw new Error("value is too precise");
      return Math.round(nano);
    },
  };
}

function shared(help: string, valueName: string, options: Common) {
  return {
    help,
    valueName: options.valueName ?? valueName,
    ...(options.short !== undefined && { short: options.short }),
    ...(options.hidden !== undefined && { hidden: options.hidden }),
    ...(options.shownDefault !== undefined && { shownDefault: options.shownDefault }),
  };
}

function parseBoolean(text: string): boolean {
  const boolean = parseGoBool(text);
  if (boolean !== undefined) return boolean;
  throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) {
    throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}

/**
 * Reads an argument vector.
 * @param interspersed flags may follow positionals (most commands); false stops at the first positional.
 * @throws UsageError in pflag's words.
 */
export function parseFlags<F extends FlagSet>(flags: F, argv: string[], interspersed = true): ParsedFlags<F> {
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) values[name] = flag.initial;
  const given = new Set<keyof F>();
  const positionals: string[] = [];

  const set = (name: string, shown: string, text: string): void => {
    try {
      values[name] = flags[name]!.read(text, values[name]);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new FlagError(`invalid argument ${JSON.stringify(text)} for ${shown} flag: ${errorMessage(error)}`);
    }
    given.add(name);
  };

  let index = 0;
  const next = (complaint: string): string => {
    const value = argv[index++];
    if (value === undefined) throw new FlagError(`flag needs an argument: ${complaint}`);
    return value;
  };

  while (index < argv.length) {
    const argument = argv[index++]!;
    if (argument === "--") {
      positionals.push(...argv.slice(index));
      break;
    }
    if (argument.length < 2 || !argument.startsWith("-")) {
      positionals.push(argument);
      if (interspersed) continue;
      positionals.push(...argv.slice(index));
      break;
    }
    if (argument.startsWith("--")) readLong(flags, argument, next, set);
    else readShorts(flags, argument, next, set);
  }
  return { values: values as FlagValues<F>, given, positionals };
}

type Next = (complaint: string) => string;
type SetFlag = (name: string, shown: string, text: string) => void;

function readLong(flags: FlagSet, argument: string, next: Next, set: SetFlag): void {
  const equals = argument.indexOf("=");
  const name = argument.slice(2, equals === -1 ? undefined : equals);
  if (name === "" || name.startsWith("-")) throw new FlagError(`bad flag syntax: ${argument}`);
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
  if (flag === undefined) throw new FlagError(`unknown flag: --${name}`);
  const shown = `"${flag.short ? `-${flag.short}, ` : ""}--${name}"`;
  const text = equals !== -1 ? argument.slice(equals + 1) : flag.isBoolean ? "true" : next(`--${name}`);
  set(flag.aliasOf ?? name, shown, text);
}

function readShorts(flags: FlagSet, argument: string, next: Next, set: SetFlag): void {
  const letters = argument.slice(1);
  for (let at = 0; at < letters.length; at++) {
    const letter = letters[at]!;
    const name = Object.keys(flags).find((key) => flags[key]!.short === letter);
    if (name === undefined) throw new FlagError(`unknown shorthand flag: '${letter}' in -${letters.slice(at)}`);
    const flag = flags[name]!;
    const shown = `"-${letter}, --${name}"`;
    const rest = letters.slice(at + 1);
    if (rest.startsWith("=") || !flag.isBoolean) {
      const value = rest.startsWith("=") ? rest.slice(1) : rest || next(`'${letter}' in -${letters.slice(at)}`);
      set(name, shown, value);
      return;
    }
    set(name, shown, "true");
  }
}

/** Splits `key=value`; a lone `key` has no value. Used for labels and sysctls. */
export function keyValues(list: string[], flag: string): Record<string, string> {
  const entries = list.flatMap((item) => Object.entries(keyValue(item)));
  const unnamed = entries.findIndex(([key]) => key === "");
  if (unnamed < 0) return Object.fromEntries(entries);
  const shown = JSON.stringify(list[unnamed]);
  throw new EngineError("invalid_argument", `invalid --${flag} ${shown}: empty name`);
}

function keyValue(text: string): Record<string, string> {
  const equals = text.indexOf("=");
  return equals === -1 ? { [text]: "" } : { [text.slice(0, equals)]: text.slice(equals + 1) };
}
