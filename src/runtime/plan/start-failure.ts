import { describeFailure } from "../../../ffi/plan/failure.ts";
import { planBase, recordSize, resultAt } from "../../../ffi/plan/records.ts";
import type { Memory } from "../../../ffi/plan/values.ts";
import { EngineError } from "../../core/errors.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import type { CompiledPlan } from "./context.ts";
import { planError } from "./failure.ts";
import { reportField } from "./identity.ts";
import { keepTrace } from "./trace.ts";

/**
 * What the failure means that a first process has reported to `start` by its last records in exec.fifo. Its plan is
 * compiled again from the configuration that was kept; of the report only the results are read, and one that does not
 * fit says nothing.
 */
export function startFailure(report: Uint8Array, compiled: CompiledPlan, config: RuntimeConfig): EngineError {
  const { plan } = compiled;
  const process = config.process ?? { cwd: "/" };
  const unknown = new EngineError("internal", "the container's process failed after its start", { stage: "init" });
  const [, place, size] = plan.records.find(({ call, why }) => why === reportField && call === "write")?.args ?? [];
  if (typeof place !== "number" || size !== report.length) return unknown;
  const first = (place - planBase) / recordSize;
  // An array of its own: the report may lie at any address.
  const records = Uint8Array.from(report);
  const result = (index: number): number | undefined => {
    if (index < first) return 0;
    return (index - first + 1) * recordSize <= records.length ? resultAt(records, index - first) : undefined;
  };
  const memory = (asked: Memory): Uint8Array => new Uint8Array(asked.size);
  const failure = describeFailure(plan, result, memory);
  if (failure === undefined) return unknown;
  const outcome = { failure: () => failure, result: (ref: { record: number }) => result(ref.record), memory };
  const error = failure.why?.startsWith("hooks.")
    ? // Its status is not in the report.
      new EngineError("internal", `${failure.why} ${failure.what}: failed`, { stage: "hook" })
    : (planError(outcome, compiled, process) ?? unknown);
  const results = plan.records.map((_, index) => result(index));
  keepTrace(error, { plan, config, results, failed: failure.record, startedAt: first });
  return error;
}
