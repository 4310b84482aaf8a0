import { formatExactJson } from "../core/exact-json.ts";
import { printError } from "./output.ts";
import { alignColumns } from "./table.ts";
import { headerFunctions } from "./template/docker-functions.ts";
import { encodeJson, escapeHtml } from "./template/encode-json.ts";
import { TemplateError } from "./template/error.ts";
import { compileTemplate, type Template } from "./template/execute.ts";
import {
  dynamicValue,
  type GoType,
  type Method,
  mapOf,
  plainValue,
  pointerTo,
  stringType,
  Value,
} from "./template/types.ts";

/** A column or template field of a listing: its name in templates, its header in tables, and its value. */
export interface Column<T> {
  name: string;
  /** None for what a table's header does not know: `{{if .Current}}` of it is false there. */
  header?: string | OfName;
  value: (item: T) => string | number | boolean | object | OfName;
}

/** A field that templates give an argument, `{{.Label "team"}}`; what lists fields leaves it out. */
type OfName = (argument: string) => string;

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

/**
 * Prints a list the way `--format` asks: "table" (or nothing), "json" (an object a line), "table TEMPLATE" or
 * "TEMPLATE" (a line an item).
 * @param shown names of the columns of the plain table, in order
 * @param typeName what docker's errors call an item, or each of them
 * @returns lines, each with its end.
 * @throws TemplateError
 */
export function formatLines<T>(
  items: T[],
  columns: Column<T>[],
  shown: string[],
  format: string,
  typeName: string | ((item: T) => string) = "*formatter.context",
): string {
  if (format === "" || format === "table") return plainTable(items, columns, shown);
  const isTable = format.startsWith("table");
  const template = compileTemplate(listTemplate(format, shown));
  const one = typeof typeName === "string" ? contextType(columns, typeName) : undefined;
  const typeOf = (item: T) => one ?? contextType(columns, (typeName as (item: T) => string)(item));
  const lines = items.map((item) => `${template.execute(new Value(typeOf(item), item))}\n`).join("");
  return isTable ? alignColumns(`${headerLine(template, columns)}\n${lines}`) : lines;
}

/** What `table {{.First}}\t{{.Second}}` gives of columns that are text, without a template: lists may be long. */
function plainTable<T>(items: readonly T[], columns: readonly Column<T>[], shown: readonly string[]): string {
  const byName = new Map(columns.map((column) => [column.name, column]));
  const chosen = shown.map((name) => byName.get(name)!);
  const rows = items.map((item) => `${chosen.map(({ value }) => String(value(item))).join("\t")}\n`);
  return alignColumns(`${chosen.map(({ header }) => header).join("\t")}\n${rows.join("")}`);
}

/** The same without the end of the last line; empty when there is nothing to print. */
export function formatList<T>(...list: Parameters<typeof formatLines<T>>): string {
  return formatLines(...list).replace(/\n$/, "");
}

/** The template itself: without what says that it is a table's, and with what shells cannot pass. */
export function listTemplate(format: string, shown: string[]): string {
  const plain = shown.map((name) => `{{.${name}}}`).join("\t");
  if (format === "json") return "{{json .}}";
  const source = format.startsWith("table") ? format.slice("table".length) : format;
  return unescapeTemplate(source.replace(/^ +| +$/g, "")) || plain;
}

/**
 * An item as templates see it: its columns are methods, and all of them together its JSON, by their names.
 * @param inOrder by their own order.
 */
export function contextType<T>(columns: readonly Column<T>[], typeName: string, { inOrder = false } = {}): GoType {
  const methods = Object.fromEntries(columns.map((column): [string, Method] => [column.name, methodOf(column)]));
  const encode = (item: unknown) =>
    encodeItem(item as T, inOrder ? columns : columns.toSorted((a, b) => (a.name < b.name ? -1 : 1)));
  const name = typeName.replace(/^\*/, "");
  const struct: GoType = {
    name,
    literal: name,
    kind: "struct",
    isNamed: true,
    fields: [],
    traits: { methods, encode },
  };
  return pointerTo(struct);
}

function methodOf<T>({ name, header, value }: Column<T>): Method {
  if (typeof header === "function" || name === "Label") {
    const call = (item: unknown, [argument]: Value[]) => {
      const ofName = value(item as T) as OfName;
      return new Value(stringType, ofName(argument!.data as string));
    };
    return { parameters: [stringType], call };
  }
  return { parameters: [], call: (item) => plainValue(value(item as T))! };
}

/** Safe within HTML, as Go's encoder writes what it is not told otherwise of. */
function encodeItem<T>(item: T, columns: readonly Column<T>[]): string {
  const fields = columns
    .map(({ name, value }) => ({ name, value: value(item) }))
    .filter(({ value }) => typeof value !== "function");
  const parts = fields.map(({ name, value }) => `${JSON.stringify(name)}:${encodeJson(plainValue(value))}`);
  return escapeHtml(`{${parts.join(",")}}`);
}

/** What docker cannot make of a header is not its user's affair: the line ends there. */
function headerLine<T>(template: Template, columns: readonly Column<T>[]): string {
  const headers: Record<string, string> = {};
  const methods: Record<string, Method> = {};
  for (const { name, header } of columns) {
    if (typeof header === "string") headers[name] = header;
    else if (header !== undefined) {
      const call = (_: unknown, [argument]: Value[]) => new Value(stringType, header(argument!.data as string));
      methods[name] = { parameters: [stringType], call };
    }
  }
  const type: GoType = { ...mapOf(stringType), name: "formatter.SubHeaderContext", traits: { methods } };
  return template.execute(new Value(type, headers), { functions: headerFunctions, ignoreErrors: true });
}

/** JSON as Go's encoder writes it when it is not told otherwise: safe within HTML. */
export function goJson(value: unknown, indent?: string | number): string {
  return JSON.stringify(value, null, indent).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** docker reads `\t` and `\n` in a format as tab and newline, because shells pass them as two characters. */
function unescapeTemplate(format: string): string {
  return format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/** What docker ends with when a template is wrong in itself, of all commands that do not print lists. */
export const wrongTemplate = 64;

/** @returns the status to end with when the template is wrong: that is said then. */
export function compileOrSay(source: string, { name = "", prefix }: { name?: string; prefix?: string } = {}) {
  try {
    return compileTemplate(source, name);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    printError(prefix === undefined ? error.message : prefix + error.bare);
    return wrongTemplate;
  }
}

/** An object as the API has it, and as docker's client has it in templates; no view: the JSON is all there is. */
export interface Found {
  json: unknown;
  view?: Value;
  /** docker has forgotten the JSON by then. */
  isTyped?: boolean;
}

/**
 * Prints objects the way `inspect --format` asks: indented JSON of the list, the same in one line, or a template each.
 * That is applied to the view first, and where it does not fit to the JSON: docker knows the names of both.
 */
export class ObjectFormatter {
  readonly #format: string;
  readonly #template: Template | undefined;
  readonly #list: unknown[] = [];
  #text = "";
  #isTyped = false;

  /** @throws TemplateError for a template that is wrong in itself. */
  constructor(format: string) {
    this.#format = format;
    this.#template = format === "" || format === "json" ? undefined : compileTemplate(format);
  }

  /** @throws TemplateError for a template that this object does not fit. */
  add(found: Found): void {
    this.#isTyped = found.isTyped ?? false;
    if (this.#template === undefined) this.#list.push(jsonOf(found));
    else this.#text += `${applied(this.#template, found)}\n`;
  }

  /** All of them, with the end of the last line. */
  text(): string {
    if (this.#template !== undefined) return this.#text || "\n";
    const json = formatExactJson(this.#list, this.#format === "json" ? 0 : 4);
    return `${this.#isTyped ? escapeHtml(json) : json}\n`;
  }
}

/** What docker has forgotten the JSON of, it writes anew: all fields that its types have, and no others. */
function jsonOf({ json, view, isTyped }: Found): unknown {
  return isTyped ? JSON.parse(encodeJson(view)) : json;
}

function applied(template: Template, { json, view, isTyped }: Found): string {
  const raw = () => template.execute(dynamicValue(json, "json.Number"), { missingIsError: true });
  if (view === undefined) return raw();
  try {
    return template.execute(view);
  } catch (error) {
    if (isTyped || !(error instanceof TemplateError)) throw error;
    return raw();
  }
}

/** Of all of them, without the end of the last line. @throws TemplateError. */
export function formatObjects(objects: readonly Found[], format: string): string {
  const formatter = new ObjectFormatter(format);
  for (const object of objects) formatter.add(object);
  return formatter.text().replace(/\n$/, "");
}
