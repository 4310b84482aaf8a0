import { formatTable } from "./table.ts";
import { compileTemplate } from "./template/execute.ts";
import { parseTemplate } from "./template/parse.ts";

/** A column or template field of a listing: its name in templates, its header in tables, and its value. */
export interface Column<T> {
  name: string;
  header: string;
  value: (item: T) => string | number | boolean;
}

/**
 * Prints a list the way `--format` asks: "table" (or nothing), "json" (an object a line), "table TEMPLATE" or
 * "TEMPLATE" (a line an item).
 * @param shown names of the columns of the plain table, in order
 * @returns the text without its last newline; empty when there is nothing to print.
 */
export function formatList<T>(items: T[], columns: Column<T>[], shown: string[], format: string): string {
  if (format === "" || format === "table") {
    const picked = shown.map((name) => columns.find((column) => column.name === name)!);
    const rows = items.map((item) => picked.map((column) => String(column.value(item))));
    return formatTable([picked.map((column) => column.header), ...rows]);
  }
  const fields = (item: T) => Object.fromEntries(columns.map((column) => [column.name, column.value(item)]));
  if (format === "json") return items.map((item) => JSON.stringify(sorted(fields(item)))).join("\n");
  if (format.startsWith("table ")) {
    const source = unescapeTemplate(format.slice("table ".length));
    const headers = Object.fromEntries(columns.map((column) => [column.name, column.header]));
    const template = compileTemplate(source);
    const lines = [templateHeader(source, headers), ...items.map((item) => template.execute(fields(item)))];
    return formatTable(lines.map((line) => line.split("\t")));
  }
  const template = compileTemplate(unescapeTemplate(format));
  return items.map((item) => template.execute(fields(item))).join("\n");
}

function sorted(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** docker reads `\t` and `\n` in a format as tab and newline, because shells pass them as two characters. */
export function unescapeTemplate(format: string): string {
  return format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/** The table's header: the template applied to the headers, with every function left out. */
function templateHeader(source: string, headers: Record<string, string>): string {
  return parseTemplate(source)
    .map((node) => {
      if (node.kind === "text") return node.text;
      const name = /\.(\w+)/.exec(node.kind === "action" ? node.pipeline.source : "")?.[1];
      return name === undefined ? "" : (headers[name] ?? name.toUpperCase());
    })
    .join("");
}

/** Prints objects the way `inspect --format` asks: indented JSON of the list, the same in one line, or a template each. */
export function formatObjects(objects: unknown[], format: string): string {
  if (format === "") return JSON.stringify(objects, null, 4);
  if (format === "json") return JSON.stringify(objects);
  const template = compileTemplate(format);
  return objects.map((object) => template.execute(object)).join("\n");
}
