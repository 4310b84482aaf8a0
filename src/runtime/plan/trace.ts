/** What is kept of a plan that failed, on its way from where it failed to whoever writes the report. */
import type { PlanTrace } from "../../../ffi/plan/explain.ts";
import type { Plan } from "../../../ffi/plan/records.ts";

export interface FailureTrace extends PlanTrace {
  plan: Plan;
  /** What the plan was compiled of: config.json, or `{ process }` for an exec. */
  config: object;
  /** After a `start`: the first record whose answer is known. Those before it had succeeded. */
  startedAt?: number;
}

/** Beside the error, because errors travel through layers that know nothing of plans, and are wrapped there. */
const traces = new WeakMap<object, FailureTrace>();

export function keepTrace(error: unknown, trace: FailureTrace): void {
  if (error instanceof Error) traces.set(error, trace);
}

/** The trace of an error or of what has caused it. */
export function traceOf(error: unknown): FailureTrace | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const trace = traces.get(cause);
    if (trace !== undefined) return trace;
  }
  return undefined;
}
