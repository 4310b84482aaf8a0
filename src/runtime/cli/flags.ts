/**
 * Flags as runc reads them: Go's flag package under urfave/cli. `-flag` and `--flag` are the same, a value follows
 * as the next word or after `=`, booleans take a value only after `=`, `--` ends the flags. Callers of runc
 * (conmon, containerd, dockerd) rely on all of these spellings.
 */

/** One flag; `usage` is its line in the help. */
export type Flag = { alias?: string; usage: string } & (
  | { kind: "boolean" }
  | { kind: "text"; default?: string }
  | { kind: "texts" }
  | { kind: "integer"; default?: number }
  | { kind: "integers" }
);
/** Flags by their long name, without dashes. */
export type FlagTable = Readonly<Record<string, Flag>>;

type ValueOf<F extends Flag> = F extends { kind: "boolean" }
  ? boolean
  : F extends { kind: "integer" }
    ? F extends { default: number }
      ? number
      : number | undefined
    : F extends { kind: "integers" }
      ? number[]
      : F extends { kind: "texts" }
        ? string[]
        : F extends { default: string }
          ? string
          : string | undefined;
export type FlagValues<T extends FlagTable> = { [Name in keyof T]: ValueOf<T[Name]> };

/** The command line is wrong: the command's help is shown with it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface ParsedArguments<T extends FlagTable> {
  flags: FlagValues<T>;
  positional: string[];
  /** -h or --help was given. */
  help: boolean;
}

interface ParseOptions {
  /** Flags are also recognised after a positional argument (`delete ID --force`). Not for exec: those are the command's. */
  interspersed: boolean;
}

/**
 * Reads one command's words. Defaults fill what was not given.
 * @throws UsageError in the words of Go's flag package.
 */
export function parseFlags<T extends FlagTable>(table: T, words: string[], options: ParseOptions): ParsedArguments<T> {
  const values = defaultValues(table);
  const positional: string[] = [];
  let help = false;
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === "--") {
      positional.push(...words.slice(index + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      positional.push(word);
      if (options.interspersed) continue;
      positional.push(...words.slice(index + 1));
      break;
    }
    const { name, inline } = splitWord(word);
    const key = keyOf(table, name);
    if (key === undefined) {
      if (name !== "h" && name !== "help") throw new UsageError(`flag provided but not defined: -${name}`);
      help = true;
      continue;
    }
    const flag = table[key]!;
    let value = inline;
    if (value === undefined && flag.kind !== "boolean") {
      value = words[++index];
      if (value === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    }
    store(values, key, flag, name, value);
  }
  return { flags: values as FlagValues<T>, positional, help };
}

type Values = Record<string, boolean | number | number[] | string | string[] | undefined>;

function defaultValues(table: FlagTable): Values {
  const values: Values = {};
  for (const name in table) {
    const flag = table[name]!;
    if (flag.kind === "boolean") values[name] = false;
    else if (flag.kind === "texts" || flag.kind === "integers") values[name] = [];
    else values[name] = flag.default;
  }
  return values;
}

function splitWord(word: string): { name: string; inline: string | undefined } {
  const body = word.slice(word.startsWith("--") ? 2 : 1);
  if (body === "" || body.startsWith("-") || body.startsWith("=")) throw new UsageError(`bad flag syntax: ${word}`);
  const equals = body.indexOf("=");
  return equals < 0
    ? { name: body, inline: undefined }
    : { name: body.slice(0, equals), inline: body.slice(equals + 1) };
}

function keyOf(table: FlagTable, name: string): string | undefined {
  if (Object.hasOwn(table, name)) return name;
  for (const key in table) if (table[key]!.alias === name) return key;
  return undefined;
}

function store(values: Values, key: string, flag: Flag, name: string, value: string | undefined): void {
  switch (flag.kind) {
    case "boolean":
      values[key] = value === undefined || parseBoolean(name, value);
      return;
    case "text":
      values[key] = value!;
      return;
    case "integer":
      values[key] = parseInteger(name, value!);
      return;
    case "texts":
      (values[key] as string[]).push(value!);
      return;
    case "integers":
      (values[key] as number[]).push(parseInteger(name, value!));
  }
}

function parseBoolean(name: string, value: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new UsageError(`invalid boolean value ${JSON.stringify(value)} for -${name}: parse error`);
}

function parseInteger(name: string, value: string): number {
  const number = /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new UsageError(`invalid value ${JSON.stringify(value)} for flag -${name}: parse error`);
}
