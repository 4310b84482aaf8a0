/** How often a property is tried: TSD_ROUNDS multiplies it for the long form (`bun run test:soak`). */
import * as fc from "fast-check";

const factor = Number(process.env.TSD_ROUNDS ?? 1);
const seed = process.env.TSD_SEED === undefined ? undefined : Number(process.env.TSD_SEED);

/** Tries a property on many random values. A failure prints the smallest one that was found, and the seed. */
export function forAll<T>(values: fc.Arbitrary<T>, rounds: number, holds: (value: T) => void): void {
  const property = fc.property(values, (value) => {
    holds(value);
  });
  const details = fc.check(property, { numRuns: rounds * factor, ...(seed !== undefined && { seed }) });
  if (!details.failed) return;
  const reason = details.errorInstance instanceof Error ? details.errorInstance.message : "";
  throw new Error(`${reason}\n${fc.defaultReportMessage(details)}`);
}
