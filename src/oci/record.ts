/** Maps whose keys other people choose: labels, annotations, options, networks by their names. */
import * as v from "valibot";

/** valibot leaves these out of every record, without a word; a label may well be called `constructor`. */
const leftOut = ["__proto__", "prototype", "constructor"];

/** `v.record(v.string(), value)` that has every key. */
export function record<const Value extends v.GenericSchema>(
  value: Value,
): v.RecordSchema<v.StringSchema<undefined>, Value, undefined> {
  const most = v.record(v.string(), value);
  return {
    ...most,
    "~run"(dataset, config) {
      const input = dataset.value;
      const result = most["~run"](dataset, config);
      if (!result.typed || typeof input !== "object" || input === null) return result;
      for (const key of leftOut.filter((name) => Object.hasOwn(input, name))) {
        const own = (input as Record<string, unknown>)[key];
        const parsed = v.safeParse(value, own, config);
        if (!parsed.success) {
          const item: v.ObjectPathItem = { type: "object", origin: "value", input: { ...input }, key, value: own };
          const [issue] = parsed.issues;
          const path = [item, ...((issue.path ?? []) as v.IssuePathItem[])] as const;
          return { typed: false, value: input, issues: [{ ...issue, path: [...path] as [v.IssuePathItem] }] } as never;
        }
        // An assignment to __proto__ would be one to the prototype.
        const field = { value: parsed.output, enumerable: true, writable: true, configurable: true };
        Object.defineProperty(result.value, key, field);
      }
      return result;
    },
  };
}
