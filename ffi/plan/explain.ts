/** A plan in words: as JSON for programs, and as text to read. Nothing is run. */
import { formatFlags } from "../constants/names.ts";
import { cloneFlags } from "../constants/namespace.ts";
import { errnoName } from "../errno.ts";
import { formatArgument, formatCall, type Wording } from "./format.ts";
import type { Label, Plan, PlanRecord } from "./records.ts";
import type { Argument, Ref } from "./values.ts";

/** How far a plan has come when it failed. */
export interface PlanTrace {
  /** The record that failed; undefined where it was the parent that did. */
  failed: number | undefined;
  /** Answers by record; undefined for one that was not reached. */
  results: readonly (number | undefined)[];
}

export interface ExplainOptions {
  /** What a record's `why` means where it is no field of the configuration, and what more there is to say of a field. */
  reasonOf?: (why: string) => string | undefined;
  /** Shows the values of environment variables. */
  environment?: boolean;
  trace?: PlanTrace;
}

/** A record as JSON: jumps are indices of records. */
export interface ExplainedRecord {
  index: number;
  call: string;
  arguments: string[];
  text: string;
  result?: string;
  /** The field of the configuration, or the name of the rule, because of which the call is made. */
  why?: string;
  /** Of a rule, or of a field that is not given: why. */
  reason?: string;
  what?: string;
  ignore?: string[];
  retry?: { errnos: string[]; times: number };
  next?: number;
  onZero?: number;
  /** Present where a failure does not end the plan. */
  onError?: number;
  fork?: true;
  /** Names of this place, where records jump to it. */
  labels?: string[];
  /** What the kernel answered; absent where the record was not reached. */
  answer?: number;
  /** The name of an answer that is an error. */
  errno?: string;
  /** The call that made the plan fail. */
  failed?: true;
}

export interface ExplainedPlan {
  clone: string;
  descriptors: string[];
  checkpoints: string[];
  records: ExplainedRecord[];
}

/** The plan as data. */
export function explainPlan(plan: Plan, options: ExplainOptions = {}): ExplainedPlan {
  const names = resultNames(plan);
  const wording: Wording = {
    nameOf: ({ record }) => `$${names.get(record) ?? record}`,
    ...(options.environment && { environment: true }),
  };
  const labels = labelNames(plan);
  return {
    clone: formatFlags(plan.cloneFlags, cloneFlags),
    descriptors: [...plan.descriptors],
    checkpoints: [...plan.checkpoints],
    records: plan.records.map((record, index) => ({
      ...explainRecord(record, index, wording, options),
      ...(names.has(index) && { result: names.get(index)! }),
      ...(labels.has(index) && { labels: labels.get(index)! }),
      ...(options.trace && traced(options.trace, index)),
    })),
  };
}

function explainRecord(
  record: PlanRecord,
  index: number,
  wording: Wording,
  { reasonOf }: ExplainOptions,
): ExplainedRecord {
  const { why, what, ignore, retry, next, onZero, onError, fork } = record;
  const reason = why === undefined ? undefined : reasonOf?.(why);
  return {
    index,
    call: record.call,
    arguments: record.args.map((argument) => formatArgument(argument, wording)),
    text: formatCall(record, wording),
    ...(why !== undefined && { why }),
    ...(reason !== undefined && { reason }),
    ...(what !== undefined && { what }),
    ...(ignore.length > 0 && { ignore: [...ignore] }),
    ...(retry !== undefined && { retry: { errnos: [...retry.errnos], times: retry.times } }),
    ...(next !== undefined && { next: next.position }),
    ...(onZero !== undefined && { onZero: onZero.position }),
    ...(!onError.fatal && { onError: onError.position }),
    ...(fork && { fork }),
  };
}

const errnoMax = 4095;

function traced({ results, failed }: PlanTrace, index: number): Pick<ExplainedRecord, "answer" | "errno" | "failed"> {
  const answer = results[index];
  return {
    ...(answer !== undefined && { answer }),
    ...(answer !== undefined && answer < 0 && answer >= -errnoMax && { errno: errnoName(-answer) }),
    ...(index === failed && { failed: true }),
  };
}

/** Names of the places that are jumped to, by the record that they stand before. */
function labelNames(plan: Plan): Map<number, string[]> {
  const names = new Map<number, string[]>();
  const seen = new Set<Label>();
  for (const record of plan.records) {
    for (const label of [record.next, record.onZero, record.onError]) {
      if (label === undefined || label.fatal || seen.has(label)) continue;
      seen.add(label);
      names.set(label.position, [...(names.get(label.position) ?? []), label.name]);
    }
  }
  return names;
}

/**
 * What results are called: their own names, else what their call was about, as in `${/dev/pts}`; by index of the
 * record. Only of those that another record uses, or that have a name. No two are called the same.
 */
function resultNames(plan: Plan): Map<number, string> {
  const names = new Map<number, string>();
  const counts = new Map<string, number>();
  const used = usedResults(plan);
  plan.records.forEach((record, index) => {
    if (record.into !== undefined || (record.name === undefined && !used.has(index))) return;
    const plain = record.name ?? (record.what === undefined ? undefined : `${nouns[record.call] ?? ""}${record.what}`);
    if (plain === undefined) {
      names.set(index, String(index));
      return;
    }
    const count = (counts.get(plain) ?? 0) + 1;
    counts.set(plain, count);
    const unique = count === 1 ? plain : `${plain} #${count}`;
    names.set(index, /^\w+$/.test(unique) ? unique : `{${unique}}`);
  });
  plan.records.forEach(({ into }, index) => {
    if (into !== undefined) names.set(index, names.get(into.record) ?? String(into.record));
  });
  return names;
}

/** A file system context and the mount that comes of it are about the same object, and so are two ends of a terminal. */
const nouns: Readonly<Record<string, string>> = { fsopen: "context of ", socket: "socket for " };

/** The records whose result another one uses, by index. */
function usedResults(plan: Plan): Set<number> {
  const used = new Set<number>();
  const use = (ref: Ref) => used.add(ref.record);
  const visit = (argument: Argument) => {
    if (typeof argument !== "object" || argument === null) return;
    if (argument.kind === "result") use(argument);
    else if (argument.kind === "answer") use(argument.of);
    else if (argument.kind === "half") use(argument.low);
    else if (argument.kind === "words") argument.items.forEach(visit);
  };
  for (const record of plan.records) record.args.forEach(visit);
  return used;
}

/** The plan as text: a line a record, and what happens when a call does not simply succeed. */
export function explainAsText(plan: Plan, options: ExplainOptions = {}): string {
  return planText(explainPlan(plan, options));
}

/** A plan's explanation as text. */
export function planText({ clone, descriptors, records }: ExplainedPlan): string {
  const lines = headLines({ clone, descriptors });
  const names = placeNames(records);
  let why: string | undefined;
  for (const record of records) {
    if (record.why !== why) lines.push(...reasonLines(record));
    why = record.why;
    if (record.labels !== undefined) lines.push(`     ${names.get(record.index)}:`);
    lines.push(
      `${String(record.index).padStart(4)} ${assignment(record)}${record.text}${formatOutcome(record, names)}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

export function headLines({ clone, descriptors }: Pick<ExplainedPlan, "clone" | "descriptors">): string[] {
  return [
    ...(clone === "0" ? [] : [`clone      ${clone}`]),
    ...(descriptors.length === 0 ? [] : [`inherits   ${descriptors.map((name) => `@${name}`).join(" ")}`]),
  ];
}

/** What stands above the calls that a field or a rule asks for. */
export function reasonLines({ why, reason }: ExplainedRecord): string[] {
  return why === undefined ? [] : ["", `# ${reason === undefined ? why : `${why}: ${reason}`}`];
}

/** `$root = ` */
export function assignment({ result }: ExplainedRecord): string {
  return result === undefined ? "" : `$${result} = `;
}

/** The names of the places that are jumped to, by index. */
export function placeNames(records: readonly ExplainedRecord[]): ReadonlyMap<number, string> {
  return new Map(records.map(({ index, labels }) => [index, (labels ?? []).join(", ")]));
}

function formatOutcome(record: ExplainedRecord, names: ReadonlyMap<number, string>): string {
  let text = "";
  if (record.ignore !== undefined) text += `, or ${record.ignore.join(", ")}`;
  if (record.retry !== undefined) text += `, again on ${record.retry.errnos.join(", ")}`;
  if (record.fork && record.onZero !== undefined) text += `, the child goes to ${names.get(record.onZero)}`;
  else if (record.onZero !== undefined) text += `, 0 → ${names.get(record.onZero)}`;
  if (record.next !== undefined) text += ` → ${names.get(record.next)}`;
  if (record.onError !== undefined) text += `, else → ${names.get(record.onError)}`;
  return text;
}
