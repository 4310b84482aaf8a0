import { alignColumns } from "./table.ts";
import { compileTemplate } from "./template/execute.ts";
import type { TemplateFunction } from "./template/functions.ts";

/** A column or template field of a listing: its name in templates, its header in tables, and its value. */
export interface Column<T> {
  name: string;
  header: string;
  value: (item: T) => string | number | boolean;
}

/** Functions leave a table's headers as they are: `table {{.ID | lower}}` still says IMAGE ID. */
const headerFunctions = Object.fromEntries(
  ["json", "title", "lower", "upper", "truncate"].map((name): [string, TemplateFunction] => [name, (value) => value]),
);

/**
 * Prints a list the way `--format` asks: "table" (or nothing), "json" (an object a line), "table TEMPLATE" or
 * "TEMPLATE" (a line an item).
 * @param shown names of the columns of the plain table, in order
 * @returns the text without its last newline; empty when there is nothing to print.
 */
export function formatList<T>(items: T[], columns: Column<T>[], shown: string[], format: string): string {
  const fields = (item: T) => Object.fromEntries(columns.map((column) => [column.name, column.value(item)]));
  if (format === "json") return items.map((item) => goJson(sorted(fields(item)))).join("\n");
  const isTable = format === "" || format.startsWith("table");
  const plain = shown.map((name) => `{{.${name}}}`).join("\t");
  const source = isTable ? unescapeTemplate(format.replace(/^table/, "").trim()) || plain : unescapeTemplate(format);
  const whole = new WeakSet<object>();
  const template = compileTemplate(source, {
    json: (value) => {
      const isItem = typeof value === "object" && value !== null && whole.has(value);
      return isItem ? goJson(sorted(value as Record<string, unknown>)) : JSON.stringify(value ?? null);
    },
  });
  const lines = items.map((item) => {
    const data = fields(item);
    whole.add(data);
    return template.execute(data);
  });
  if (!isTable) return lines.join("\n");
  const headers = Object.fromEntries(columns.map((column) => [column.name, column.header]));
  return alignColumns([compileTemplate(source, headerFunctions).execute(headers), ...lines].join("\n"));
}

/** JSON as Go's encoder writes it when it is not told otherwise: safe within HTML. */
export function goJson(value: unknown, indent?: string | number): string {
  return JSON.stringify(value, null, indent).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function sorted(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** docker reads `\t` and `\n` in a format as tab and newline, because shells pass them as two characters. */
export function unescapeTemplate(format: string): string {
  return format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/** Prints objects the way `inspect --format` asks: indented JSON of the list, the same in one line, or a template each. */
export function formatObjects(objects: unknown[], format: string): string {
  if (format === "") return JSON.stringify(objects, null, 4);
  if (format === "json") return JSON.stringify(objects);
  const template = compileTemplate(format);
  return objects.map((object) => template.execute(object)).join("\n");
}
