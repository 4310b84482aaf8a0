/** A plan that has failed, in words: what the kernel answered to each call, in the order in which they were made. */
import { assignment, type ExplainedPlan, type ExplainedRecord, headLines, placeNames, reasonLines } from "./explain.ts";

/** Marks the line of the call that failed, and the one below it. */
const mark = ">>";

/** The plan as far as it has come, up to the call that failed; `failure` stands below that one. */
export function failedPlanText(plan: ExplainedPlan, failure: string): string {
  const lines = headLines(plan);
  const names = placeNames(plan.records);
  const runs = executedRuns(plan.records);
  let why: string | undefined;
  for (const run of runs) {
    let before: number | undefined;
    for (const record of run) {
      if (record.why !== why) lines.push(...reasonLines(record));
      why = record.why;
      if (record.labels !== undefined && record.index - 1 !== before) lines.push(`     ${names.get(record.index)}:`);
      before = record.index;
      const margin = record.failed ? mark : "";
      const index = String(record.index).padStart(4 - margin.length);
      lines.push(`${margin}${index} ${assignment(record)}${record.text}${formatAnswer(record, names)}`);
      if (record.failed) lines.push(`${mark}   ${failure}`);
    }
  }
  const left = plan.records.length - runs.reduce((sum, run) => sum + run.length, 0);
  if (left > 0) lines.push("", `     (${left} calls were not made)`);
  return `${lines.join("\n")}\n`;
}

/**
 * The records that were reached, in the order of their execution: a run for each process that went through the plan. The
 * one that failed comes last.
 */
function executedRuns(records: readonly ExplainedRecord[]): ExplainedRecord[][] {
  const byIndex = new Map(records.map((record) => [record.index, record]));
  const seen = new Set<number>();
  const runs: ExplainedRecord[][] = [];
  for (const first of records) {
    const run: ExplainedRecord[] = [];
    let record: ExplainedRecord | undefined = first;
    while (record !== undefined && !seen.has(record.index) && (record.answer !== undefined || record.failed)) {
      seen.add(record.index);
      run.push(record);
      record = byIndex.get(follower(record) ?? -1);
    }
    if (run.length > 0) runs.push(run);
  }
  const rank = (run: ExplainedRecord[]): number => (run.some(({ failed }) => failed) ? 1 : 0);
  return runs.sort((a, b) => rank(a) - rank(b));
}

/** Where the process went from there; undefined where it ended. */
function follower({
  index,
  answer,
  errno,
  failed,
  ignore,
  next,
  onZero,
  onError,
  fork,
}: ExplainedRecord): number | undefined {
  if (failed) return undefined;
  if (errno !== undefined && !ignore?.includes(errno)) return onError;
  if (answer === 0 && onZero !== undefined && !fork) return onZero;
  return next ?? index + 1;
}

/** What came of a call, and where it led. */
function formatAnswer(record: ExplainedRecord, names: ReadonlyMap<number, string>): string {
  const { answer, errno, failed, index } = record;
  if (answer === undefined) return "   ← failed";
  if (failed) return errno === undefined ? `   = ${answer}   ← killed after this` : `   = ${errno}   ← failed`;
  const goesOn = follower(record);
  const jump = goesOn === undefined || goesOn === index + 1 ? "" : ` → ${names.get(goesOn)}`;
  if (errno === undefined) return `   = ${answer}${jump}`;
  return record.ignore?.includes(errno) ? `   = ${errno}, which may be${jump}` : `   = ${errno}${jump}`;
}
