/** Values as Go's encoding/json writes them: structs in the order of their fields, maps in that of their keys. */
import { formatExactJson } from "../../core/exact-json.ts";
import { CallError } from "./error.ts";
import { concrete, entriesOf, type Field, fieldData, part, pointee, Value } from "./types.ts";

export function encodeJson(value: Value | undefined): string {
  const inside = concrete(value);
  if (inside === undefined) return "null";
  const { type, data } = inside;
  if (type.traits.encode && data !== null) return type.traits.encode(data);
  switch (type.kind) {
    case "pointer":
      return encodeJson(pointee(inside));
    case "slice":
    case "array":
      return encodeList(inside);
    case "map":
      if (data === null) return "null";
      return `{${entriesOf(inside)
        .map(([key, item]) => `${text(String(key.data))}:${encodeJson(item)}`)
        .join(",")}}`;
    case "struct":
      return `{${encodeFields(inside).join(",")}}`;
    case "complex":
      throw new CallError(`json: unsupported type: ${type.name}`);
    default:
      return text(data);
  }
}

/** Safe within HTML too, as Go's encoder writes it when it is not told otherwise. */
export function escapeHtml(json: string): string {
  return json.replace(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

function text(data: unknown): string {
  return formatExactJson(data).replace(/[\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
}

function encodeList({ type, data }: Value): string {
  if (data === null) return "null";
  // Bytes are read as the base64 that they are written as.
  if (typeof data === "string") return text(data);
  return `[${(data as unknown[]).map((item) => encodeJson(part(type.elem!, item))).join(",")}]`;
}

function encodeFields({ type, data }: Value): string[] {
  return type.fields!.flatMap((field) => {
    if (field.isEmbedded) {
      const embedded = new Value(field.type.kind === "pointer" ? field.type.elem! : field.type, data);
      return data === null ? [] : encodeFields(embedded);
    }
    return encodeField(field, data);
  });
}

function encodeField(field: Field, data: unknown): string[] {
  if (field.json === "") return [];
  const value = new Value(field.type, fieldData(field, data));
  if (field.omitsEmpty && isEmpty(value)) return [];
  return [`${text(field.json)}:${encodeJson(value)}`];
}

/** What `omitempty` leaves out; never a struct. */
function isEmpty({ type, data }: Value): boolean {
  if (type.kind === "struct") return false;
  // One that leads to a zero is none.
  if (type.kind === "pointer") return data === null;
  if (data === null || data === false || data === 0 || data === "") return true;
  if (type.kind === "array") return type.length === 0;
  if (type.kind === "slice") return (data as unknown[]).length === 0;
  return type.kind === "map" && Object.keys(data as object).length === 0;
}
