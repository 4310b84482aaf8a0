/** The functions that docker gives to every template. */
import { encodeJson } from "./encode-json.ts";
import { CallError } from "./error.ts";
import { type GoFunction, intType, jsonAny, stringsType, stringType, Value } from "./types.ts";

type Argument = Value | undefined;

const textOf = (value: Argument) => value!.data as string;

function onText(change: (text: string) => string): GoFunction {
  return { parameters: [stringType], call: ([text]) => new Value(stringType, change(textOf(text))) };
}

export const dockerFunctions: Record<string, GoFunction> = {
  json: { parameters: [jsonAny], call: ([value]) => new Value(stringType, encodeJson(value)) },
  split: {
    parameters: [stringType, stringType],
    call: ([text, separator]) => {
      const parts = textOf(separator) === "" ? [...textOf(text)] : textOf(text).split(textOf(separator));
      return new Value(stringsType, parts);
    },
  },
  join: {
    parameters: [stringsType, stringType],
    call: ([list, separator]) => new Value(stringType, ((list!.data ?? []) as string[]).join(textOf(separator))),
  },
  title: onText((text) => text.replace(/(?<![\p{L}\p{Nd}_])\p{L}/gu, (letter) => letter.toUpperCase())),
  lower: onText((text) => text.toLowerCase()),
  upper: onText((text) => text.toUpperCase()),
  pad: {
    parameters: [stringType, intType, intType],
    call: ([text, before, after]) =>
      new Value(stringType, padded(textOf(text), Number(before!.data), Number(after!.data))),
  },
  truncate: {
    parameters: [stringType, intType],
    call: ([text, length]) => new Value(stringType, truncated(textOf(text), Number(length!.data))),
  },
};

function padded(text: string, before: number, after: number): string {
  if (text === "") return "";
  if (before < 0 || after < 0) throw new CallError("strings: negative Repeat count");
  return " ".repeat(before) + text + " ".repeat(after);
}

/** By bytes. */
function truncated(text: string, length: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length < length) return text;
  if (length < 0) throw new CallError(`runtime error: slice bounds out of range [:${length}]`);
  return bytes.subarray(0, length).toString();
}

function unchanged(...more: GoFunction["parameters"]): GoFunction {
  return { parameters: [stringType, ...more], call: ([text]) => text };
}

/** What they do to the header of a table: it is to say the column's name still. */
export const headerFunctions: Record<string, GoFunction> = {
  json: unchanged(),
  split: unchanged(stringType),
  join: unchanged(stringType),
  title: unchanged(),
  lower: unchanged(),
  upper: unchanged(),
  truncate: unchanged(intType),
};
