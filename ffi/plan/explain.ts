/** A plan in words: as text to read, and as JSON for programs. Nothing is run. */

import { formatConstant, formatFlags } from "../constants/names.ts";
import { cloneFlags } from "../constants/namespace.ts";
import { errnoName } from "../errno.ts";
import { type Label, type operation, type Plan, type PlanRecord, planBase } from "./records.ts";
import type { Argument } from "./values.ts";

const textMax = 120;

/** One argument as it would stand in source text: `"/proc"`, `MS_NOSUID|MS_NODEV`, `@stdin`, `$root`, `[…]`. */
export function formatArgument(argument: Argument): string {
  if (typeof argument === "number") {
    if (argument === planBase) return "&plan";
    return argument === 0xffffffff ? "~0" : String(argument);
  }
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
      return formatWords(argument.items, argument.fields);
    case "memory":
      return `&${argument.name}`;
    case "memoryAt":
      return `&${argument.memory.name}+${argument.offset}`;
    case "descriptorPath":
      return `"${argument.prefix}@${argument.name}"`;
    case "half":
      return argument.high === 0 ? formatArgument(argument.low) : `${formatArgument(argument.low)}:${argument.high}`;
    case "answer":
      return `&${formatArgument(argument.of)}`;
    case "result":
      return `$${argument.name ?? argument.record}`;
  }
}

function formatText(text: string): string {
  return JSON.stringify(text.length > textMax ? `${text.slice(0, textMax)}…` : text);
}

function formatWords(items: readonly Argument[], fields: readonly string[] | undefined): string {
  if (fields === undefined) return `[${items.slice(0, -1).map(formatArgument).join(", ")}]`;
  return `{${items.map((item, index) => `${fields[index]}: ${formatArgument(item)}`).join(", ")}}`;
}

/** `mount("proc", "/proc", …)` */
export function formatCall(record: PlanRecord): string {
  const args = record.args.map(formatArgument);
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

/** A record as JSON: jumps are indices of records. */
export interface ExplainedRecord {
  index: number;
  call: string;
  arguments: string[];
  text: string;
  result?: string;
  why?: string;
  what?: string;
  ignore?: string[];
  retry?: { errnos: string[]; times: number };
  next?: number;
  onZero?: number;
  /** Present where a failure does not end the plan. */
  onError?: number;
}

export interface ExplainedPlan {
  clone: string;
  descriptors: string[];
  checkpoints: string[];
  records: ExplainedRecord[];
}

/** The plan as data. */
export function explainPlan(plan: Plan): ExplainedPlan {
  return {
    clone: formatFlags(plan.cloneFlags, cloneFlags),
    descriptors: [...plan.descriptors],
    checkpoints: [...plan.checkpoints],
    records: plan.records.map(explainRecord),
  };
}

function explainRecord(record: PlanRecord, index: number): ExplainedRecord {
  const { why, what, ignore, retry, next, onZero, onError } = record;
  const result = record.name ?? record.into?.name;
  return {
    index,
    call: record.call,
    arguments: record.args.map(formatArgument),
    text: formatCall(record),
    ...(result !== undefined && { result }),
    ...(why !== undefined && { why }),
    ...(what !== undefined && { what }),
    ...(ignore.length > 0 && { ignore: [...ignore] }),
    ...(retry !== undefined && { retry: { errnos: [...retry.errnos], times: retry.times } }),
    ...(next !== undefined && { next: next.position }),
    ...(onZero !== undefined && { onZero: onZero.position }),
    ...(!onError.fatal && { onError: onError.position }),
  };
}

/** The plan as text: a line a record, and what happens when a call does not simply succeed. */
export function explainAsText(plan: Plan): string {
  const lines: string[] = [];
  if (plan.cloneFlags !== 0) lines.push(`clone      ${formatFlags(plan.cloneFlags, cloneFlags)}`);
  if (plan.descriptors.length > 0) lines.push(`inherits   ${plan.descriptors.map((name) => `@${name}`).join(" ")}`);
  const targets = new Set<Label>();
  for (const record of plan.records) {
    for (const label of [record.next, record.onZero, record.onError]) if (label && !label.fatal) targets.add(label);
  }
  const marks = new Map<number, string>();
  for (const { position, name } of targets) {
    const others = marks.get(position);
    marks.set(position, others === undefined ? name : `${others}, ${name}`);
  }
  const used = usedResults(plan);
  let why: string | undefined;
  plan.records.forEach((record, index) => {
    if (record.why !== why) {
      why = record.why;
      if (why !== undefined) lines.push("", `# ${why}`);
    }
    const mark = marks.get(index);
    if (mark !== undefined) lines.push(`     ${mark}:`);
    const own = record.name ?? (used.has(index) ? String(index) : undefined);
    const name = record.into === undefined ? own : (record.into.name ?? String(record.into.record));
    const assigned = name === undefined ? "" : `$${name} = `;
    lines.push(`${String(index).padStart(4)} ${assigned}${formatCall(record)}${formatOutcome(record)}`);
  });
  return `${lines.join("\n")}\n`;
}

/** The records whose result another one uses, by index. */
function usedResults(plan: Plan): Set<number> {
  const used = new Set<number>();
  const visit = (argument: Argument) => {
    if (typeof argument !== "object" || argument === null) return;
    if (argument.kind === "result") used.add(argument.record);
    else if (argument.kind === "answer") used.add(argument.of.record);
    else if (argument.kind === "half") used.add(argument.low.record);
    else if (argument.kind === "words") argument.items.forEach(visit);
  };
  for (const record of plan.records) record.args.forEach(visit);
  return used;
}

function formatOutcome(record: PlanRecord): string {
  let text = "";
  if (record.ignore.length > 0) text += `, or ${record.ignore.join(", ")}`;
  if (record.retry !== undefined) text += `, again on ${record.retry.errnos.join(", ")}`;
  if (record.fork && record.onZero !== undefined) text += `, the child goes to ${record.onZero.name}`;
  else if (record.onZero !== undefined) text += `, 0 → ${record.onZero.name}`;
  if (record.next !== undefined) text += ` → ${record.next.name}`;
  if (!record.onError.fatal) text += `, else → ${record.onError.name}`;
  return text;
}
