/**
 * Reports of failures: the plan that failed, with what the kernel answered to each call, for whoever asks later
 * (`explain --failed`). Only a failure loads this. A start that goes well writes nothing.
 *
 * They lie in `<root>/.failures`, for their owner alone: one for each container and verb, the newest 16 of all. They
 * hold what config.json holds except values of environment variables.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ExplainedPlan, explainPlan } from "../../ffi/plan/explain.ts";
import { failedPlanText } from "../../ffi/plan/explain-failure.ts";
import { putFile } from "../../ffi/whole-file.ts";
import { EngineError, errorMessage, isEngineError, isErrno } from "../core/errors.ts";
import { reasonsFor } from "./plan/reasons.ts";
import type { FailureTrace } from "./plan/trace.ts";
import { makeStateRoot } from "./state-root.ts";

const reportVersion = 1;
const reportsMax = 16;

export interface FailureReport {
  version: number;
  /** RFC 3339. */
  time: string;
  /** create, run, exec or start. */
  verb: string;
  container: string;
  message: string;
  code?: string;
  errno?: string;
  /** After a start: the records before this one had succeeded when the container was created, and are left out. */
  startedAt?: number;
  plan: ExplainedPlan;
}

/** Not a container's name: ids begin with no dot that is followed by this. */
function directoryOf(root: string): string {
  return join(root, ".failures");
}

export function failureReport(verb: string, container: string, error: unknown, trace: FailureTrace): FailureReport {
  const plan = explainPlan(trace.plan, { reasonOf: reasonsFor(trace.config), trace });
  const { startedAt } = trace;
  if (startedAt !== undefined) plan.records = plan.records.slice(startedAt);
  const details = isEngineError(error) ? error : undefined;
  return {
    version: reportVersion,
    time: new Date().toISOString(),
    verb,
    container,
    message: errorMessage(error),
    ...(details && { code: details.code }),
    ...(details?.errno !== undefined && { errno: details.errno }),
    ...(startedAt !== undefined && { startedAt }),
    plan,
  };
}

/**
 * Writes a report, in place of an older one of the same container and verb, and removes the oldest.
 * @returns why it could not be written; a failure has been told of already, and is not to become another one.
 */
export function writeReport(root: string, report: FailureReport): string | undefined {
  try {
    const directory = directoryOf(root);
    makeStateRoot(root);
    mkdirSync(directory, { mode: 0o700, recursive: true });
    // An id may be as long as a name of a file can be.
    const key = new Bun.CryptoHasher("sha256").update(`${report.verb} ${report.container}`).digest("hex").slice(0, 32);
    putFile(join(directory, `${key}.json`), JSON.stringify(report), 0o600);
    prune(directory);
    return undefined;
  } catch (error) {
    return `the report of the failure could not be written: ${errorMessage(error)}`;
  }
}

/** Also what a process left that was killed while it wrote, on a file system where that has a name. */
function prune(directory: string): void {
  const files = readdirSync(directory).flatMap((name) => {
    const stat = statSync(join(directory, name), { throwIfNoEntry: false });
    return stat === undefined ? [] : [{ name, age: -stat.mtimeMs }];
  });
  files.sort((a, b) => a.age - b.age);
  for (const { name } of files.slice(reportsMax)) rmSync(join(directory, name), { force: true });
}

/** All reports, the newest first. */
export function readReports(root: string): FailureReport[] {
  let names: string[];
  try {
    names = readdirSync(directoryOf(root)).filter((name) => name.endsWith(".json"));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
  const reports = names.flatMap((name) => readReport(join(directoryOf(root), name)) ?? []);
  return reports.sort((a, b) => b.time.localeCompare(a.time));
}

function readReport(path: string): FailureReport | undefined {
  let json: string;
  try {
    json = readFileSync(path, "utf8");
  } catch (error) {
    // It was replaced by a newer one, or removed, just now.
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const report = JSON.parse(json) as FailureReport;
  if (report.version !== reportVersion)
    throw new EngineError("unsupported", `${path}: written by another tsd`, { path });
  return report;
}

/** The newest report, of a container when one is named. @throws EngineError not_found. */
export function newestReport(root: string, container: string | undefined): FailureReport {
  const report = readReports(root).find((it) => container === undefined || it.container === container);
  if (report !== undefined) return report;
  const whose = container === undefined ? "" : ` of container ${container}`;
  throw new EngineError("not_found", `no failure${whose} is recorded in ${directoryOf(root)}`, {
    hint: `the newest ${reportsMax} failures of create, run, exec and start are kept`,
  });
}

/** A report to read: the failing call marked, with its reason, at the end. */
export function reportText(report: FailureReport): string {
  const { verb, container, time, message, plan, startedAt } = report;
  const before = startedAt === undefined ? "" : `The ${startedAt} calls before the start had all succeeded.\n`;
  const head = `${verb} of container ${container} failed at ${time}:\n\n    ${printable(message)}\n\n${before}`;
  return `${head}${printable(failedPlanText(plan, message))}`;
}

/** Names of files in an image may hold what a terminal obeys. */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n]/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** A line for each report. */
export function reportTable(reports: readonly FailureReport[]): string {
  const rows = reports.map(({ time, verb, container, message }) => [
    time,
    verb,
    container,
    printable(message).split("\n")[0]!,
  ]);
  const all = [["TIME", "VERB", "CONTAINER", "FAILURE"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column]!.length)) + 3);
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("")).join("\n");
}
