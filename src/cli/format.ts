import { formatExactJson } from "../core/exact-json.ts";
import { alignColumns } from "./table.ts";
import { compileTemplate } from "./template/execute.ts";
import type { TemplateFunction } from "./template/functions.ts";
import { TemplateError } from "./template/lex.ts";

/** A column or template field of a listing: its name in templates, its header in tables, and its value. */
export interface Column<T> {
  name: string;
  header: string | Method;
  value: (item: T) => string | number | boolean | object | Method;
}

/** A field that templates give an argument, `{{.Label "team"}}`; what lists fields leaves it out. */
type Method = (argument: string) => string;

/** `{{.Label "com.example.team-name"}}`, whose header is the label's last word. */
export function labelColumn<T>(labelsOf: (item: T) => Record<string, string>): Column<T> {
  return {
    name: "Label",
    header: (name) => name.slice(name.lastIndexOf(".") + 1).replace(/[-_]/g, " "),
    value: (item) => (name) => (Object.hasOwn(labelsOf(item), name) ? labelsOf(item)[name]! : ""),
  };
}

/** `{{.Labels}}` */
export function labelsText(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",");
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

/**
 * Prints objects the way `inspect --format` asks: indented JSON of the list, the same in one line, or a template each.
 * That is applied to the view first, and where it does not fit to the JSON: docker knows the names of both.
 */
export function formatObjects(objects: readonly { json: unknown; view: unknown }[], format: string): string {
  if (format === "" || format === "json") {
    const list = objects.map(({ json }) => json);
    return formatExactJson(list, format === "json" ? 0 : 4);
  }
  const template = compileTemplate(format);
  const execute = ({ json, view }: { json: unknown; view: unknown }): string => {
    try {
      return template.execute(view);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      return template.execute(json);
    }
  };
  return objects.map(execute).join("\n");
}
