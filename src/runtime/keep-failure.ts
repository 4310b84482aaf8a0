import { traceOf } from "./plan/trace.ts";

interface Hears {
  warn: (message: string) => void;
  /** Gets the whole plan, line by line. */
  debug?: (line: string) => void;
}

/**
 * Keeps the plan of a failure for `explain --failed`; does nothing for a failure that is not a plan's. Never throws:
 * whoever calls it has an error to tell of already.
 */
export async function keepFailure(
  root: string,
  verb: "create" | "run" | "exec" | "start",
  container: string,
  error: unknown,
  { warn, debug }: Hears,
): Promise<void> {
  const trace = traceOf(error);
  if (trace === undefined) return;
  const { failureReport, reportText, writeReport } = await import("./failure-report.ts");
  const report = failureReport(verb, container, error, trace);
  const problem = writeReport(root, report);
  if (problem !== undefined) warn(problem);
  if (debug !== undefined) reportText(report).trimEnd().split("\n").forEach(debug);
}
