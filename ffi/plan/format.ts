/** Calls and their arguments in words. */
import { formatConstant, formatFlags } from "../constants/names.ts";
import { errnoName } from "../errno.ts";
import { type operation, type PlanRecord, planBase, planSizeMax, recordSize } from "./records.ts";
import type { Argument, Ref, Words } from "./values.ts";

/** How results and secrets are written. */
export interface Wording {
  /** What a result is called; without it its own name, or the number of its record. */
  nameOf?: (ref: Ref) => string;
  /** Values of environment variables are written too, which may be passwords. */
  environment?: boolean;
}

const textMax = 120;

/** One argument as it would stand in source text: `"/proc"`, `MS_NOSUID|MS_NODEV`, `@stdin`, `$root`, `[…]`. */
export function formatArgument(argument: Argument, wording: Wording = {}): string {
  if (typeof argument === "number") return formatNumber(argument);
  if (typeof argument === "bigint") return argument > 0xffffn ? `0x${argument.toString(16)}` : String(argument);
  if (argument === null) return "NULL";
  switch (argument.kind) {
    case "text":
      return formatText(argument.text);
    case "flags":
      return formatFlags(argument.value, argument.names);
    case "constant":
      return formatConstant(argument.value, argument.names);
    case "octal":
      return argument.value === 0 ? "0" : `0${argument.value.toString(8)}`;
    case "descriptor":
      return `@${argument.name}`;
    case "bytes":
      return `<${argument.shown}>`;
    case "words":
      return formatWords(argument, wording);
    case "memory":
      return `&${argument.name}`;
    case "memoryAt":
      return `&${argument.memory.name}+${argument.offset}`;
    case "descriptorPath":
      return `"${argument.prefix}@${argument.name}"`;
    case "half": {
      const low = formatArgument(argument.low, wording);
      return argument.high === 0 ? low : `${low}:${argument.high}`;
    }
    case "answer":
      return `&${formatArgument(argument.of, wording)}`;
    case "result":
      return wording.nameOf?.(argument) ?? `$${argument.name ?? argument.record}`;
  }
}

/** Addresses of records are the only ones that stand in a plan as numbers. */
function formatNumber(value: number): string {
  if (value === planBase) return "&plan";
  const offset = value - planBase;
  if (offset > 0 && offset < planSizeMax && offset % recordSize === 0) return `&record ${offset / recordSize}`;
  return value === 0xffffffff ? "~0" : String(value);
}

function formatText(text: string): string {
  return JSON.stringify(text.length > textMax ? `${text.slice(0, textMax)}…` : text);
}

function formatWords({ items, fields, secret }: Words, wording: Wording): string {
  if (secret && !wording.environment) return `[${items.slice(0, -1).map(formatVariable).join(", ")}]`;
  const words = items.map((item) => formatArgument(item, wording));
  if (fields === undefined) return `[${words.slice(0, -1).join(", ")}]`;
  return `{${words.map((word, index) => `${fields[index]}: ${word}`).join(", ")}}`;
}

/** The name of an environment variable alone. */
function formatVariable(item: Argument): string {
  const text = typeof item === "object" && item?.kind === "text" ? item.text : "";
  const equals = text.indexOf("=");
  return equals < 0 ? "…" : `${text.slice(0, equals).slice(0, textMax)}=…`;
}

/** `mount("proc", "/proc", …)` */
export function formatCall(record: PlanRecord, wording: Wording = {}): string {
  const args = record.args.map((argument) => formatArgument(argument, wording));
  switch (record.call as keyof typeof operation) {
    case "select":
      return formatSelect(record, args);
    case "load":
      return formatLoad(args);
    default:
      return `${record.call}(${args.join(", ")})`;
  }
}

const allBits = "0xffffffffffffffff";

function formatLoad([word, mask, plus]: string[]): string {
  if (mask === allBits) return plus === undefined ? `load ${word}` : `load ${word} + ${plus}`;
  return plus === undefined ? `load ${word} & ${mask}` : `load (${word} & ${mask}) + ${plus}`;
}

function formatSelect(record: PlanRecord, [word, mask, expected, equal, different]: string[]): string {
  if (record.args[0] === planBase) return record.onZero === undefined ? `fail ${formatAnswer(different)}` : "jump";
  const masked = mask === allBits ? word : `${word} & ${mask}`;
  return `verify ${masked} == ${expected} ? ${formatAnswer(equal)} : ${formatAnswer(different)}`;
}

/** `-EACCES` for -13: an answer below zero is an error like that of a call. */
function formatAnswer(answer: string | undefined): string {
  const number = Number(answer);
  return number < 0 ? `-${errnoName(-number)}` : String(answer);
}
