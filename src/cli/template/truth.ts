import type { Value } from "./types.ts";

/** Go's notion of what `if` takes for true: not zero, not nil, and not of length zero; a struct always. */
export function isTrue(value: Value | undefined): boolean {
  if (value === undefined) return false;
  const { type, data } = value;
  switch (type.kind) {
    case "bool":
      return data === true;
    case "int":
    case "uint":
    case "float":
      return Number(data) !== 0;
    case "string":
      return data !== "";
    case "slice":
    case "array":
      return Array.isArray(data) && data.length > 0;
    case "map":
      return data !== null && Object.keys(data as object).length > 0;
    case "complex": {
      const { real, imaginary } = data as { real: number; imaginary: number };
      return real !== 0 || imaginary !== 0;
    }
    case "struct":
      return true;
    default:
      return data !== null;
  }
}
