/** Values that templates print as Go prints its structs, while their JSON stays what it was. */
import { formatValue, goString } from "./functions.ts";

/** `{{json}}` of it is as it came, `{{.}}` its values in braces. */
export function struct(json: object, fields: Record<string, unknown>): object {
  const text = () =>
    `{${Object.values(fields)
      .map((value) => formatValue(value, true))
      .join(" ")}}`;
  return hiding({ ...fields }, json, text);
}

/** A map or a pointer that is nil: nothing is in it, `{{json}}` says null, and `{{.}}` what Go says. */
export function nil(text: "map[]" | "<nil>"): object {
  return hiding({}, null, () => text);
}

function hiding(value: object, json: unknown, text: () => string): object {
  return Object.defineProperties(value, { toJSON: { value: () => json }, [goString]: { value: text } });
}
