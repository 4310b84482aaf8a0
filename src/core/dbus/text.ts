/**
 * Values as people write them: GVariant's text format (GLib's "GVariant Text Format"), as gdbus and runc's annotations
 * have it. `5` is an int32, `1.5` a double, `'x'` or `"x"` a string, `['a', 'b']` an array of strings; `uint64 5` and
 * `@as []` say their type.
 */
import { EngineError } from "../errors.ts";
import { marshal } from "./marshal.ts";
import { type DbusType, type DbusValue, formatType, parseSingleType, Variant } from "./types.ts";

/** GVariant's words for basic types. */
const keywords: Readonly<Record<string, string>> = {
  boolean: "b",
  byte: "y",
  int16: "n",
  uint16: "q",
  int32: "i",
  handle: "h",
  uint32: "u",
  int64: "x",
  uint64: "t",
  double: "d",
  string: "s",
  objectpath: "o",
  signature: "g",
};

/** One element of the text: its kind and what it holds. */
type Token =
  | { kind: "punctuation" | "word" | "number" | "type"; text: string }
  | { kind: "string"; text: string }
  | { kind: "end"; text: "" };

/** What was written, before its type is known: an empty array takes that of its neighbours. */
type Node =
  | { kind: "string" | "number" | "boolean"; text: string }
  | { kind: "array" | "tuple"; items: Node[] }
  | { kind: "dictionary"; entries: [Node, Node][] }
  | { kind: "variant"; content: Node }
  | { kind: "typed"; type: DbusType; content: Node };

/** @throws EngineError invalid_argument that says what is wrong with the text. */
export function parseVariantText(text: string): Variant {
  const tokens = tokenize(text);
  const parser = new Parser(text, tokens);
  const node = parser.node();
  parser.expectEnd();
  const type = inferType(node, text);
  const value = readValue(node, type, text);
  const signature = formatType(type);
  // Numbers that their type cannot hold, paths that are none.
  marshal(signature, [value]);
  return new Variant(signature, value);
}

const tokenPattern =
  /\s*(?:(?<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|@(?<type>[a-z(){}]+)|(?<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))|(?<word>[a-z]\w*)|(?<punctuation>[[\](){}<>,:]))/y;

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  tokenPattern.lastIndex = 0;
  for (let at = 0; text.slice(at).trim() !== ""; at = tokenPattern.lastIndex) {
    const groups = tokenPattern.exec(text)?.groups;
    if (groups === undefined) throw wrong(text, `unexpected ${JSON.stringify(text.slice(at).trim().slice(0, 20))}`);
    const [kind, found] = Object.entries(groups).find(([, value]) => value !== undefined)!;
    tokens.push({ kind: kind as "word", text: kind === "string" ? unquote(found!, text) : found! });
  }
  return tokens;
}

const escapes: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

function unquote(quoted: string, text: string): string {
  return quoted.slice(1, -1).replace(/\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])/g, (_, code: string) => {
    if (!/^[uU]/.test(code)) return escapes[code] ?? code;
    if (code.length === 1) throw wrong(text, `\\${code} needs the digits of a character`);
    const point = Number.parseInt(code.slice(1), 16);
    if (point > 0x10ffff) throw wrong(text, `\\${code} is no character`);
    return String.fromCodePoint(point);
  });
}

class Parser {
  readonly #text: string;
  readonly #tokens: Token[];
  #at = 0;

  constructor(text: string, tokens: Token[]) {
    this.#text = text;
    this.#tokens = tokens;
  }

  expectEnd(): void {
    const token = this.#next();
    if (token.kind !== "end") throw wrong(this.#text, `unexpected ${JSON.stringify(token.text)}`);
  }

  node(): Node {
    const token = this.#next();
    switch (token.kind) {
      case "string":
      case "number":
        return { kind: token.kind, text: token.text };
      case "type":
        return { kind: "typed", type: this.#typeOf(token.text), content: this.node() };
      case "word": {
        if (token.text === "true" || token.text === "false") return { kind: "boolean", text: token.text };
        const code = keywords[token.text];
        if (code === undefined) throw wrong(this.#text, `${token.text} is no value; text stands in quotes`);
        return { kind: "typed", type: parseSingleType(code), content: this.node() };
      }
      case "punctuation":
        return this.#container(token.text);
      default:
        throw wrong(this.#text, this.#text.trim() === "" ? "empty" : "it ends too early");
    }
  }

  #typeOf(signature: string): DbusType {
    try {
      return parseSingleType(signature);
    } catch (cause) {
      throw new EngineError("invalid_argument", `${JSON.stringify(this.#text)}: @${signature} is no type`, { cause });
    }
  }

  #container(opening: string): Node {
    if (opening === "[") return { kind: "array", items: this.#list("]") };
    if (opening === "(") return { kind: "tuple", items: this.#list(")") };
    if (opening === "{") return { kind: "dictionary", entries: this.#entries() };
    if (opening !== "<") throw wrong(this.#text, `unexpected ${JSON.stringify(opening)}`);
    const content = this.node();
    this.#expect(">");
    return { kind: "variant", content };
  }

  #list(closing: string): Node[] {
    const items: Node[] = [];
    while (!this.#skip(closing)) {
      items.push(this.node());
      if (this.#skip(closing)) break;
      this.#expect(",");
    }
    return items;
  }

  #entries(): [Node, Node][] {
    const entries: [Node, Node][] = [];
    while (!this.#skip("}")) {
      const key = this.node();
      this.#expect(":");
      entries.push([key, this.node()]);
      if (this.#skip("}")) break;
      this.#expect(",");
    }
    return entries;
  }

  #next(): Token {
    return this.#tokens[this.#at++] ?? { kind: "end", text: "" };
  }

  #skip(punctuation: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== "punctuation" || token.text !== punctuation) return false;
    this.#at += 1;
    return true;
  }

  #expect(punctuation: string): void {
    const token = this.#next();
    if (token.kind === "punctuation" && token.text === punctuation) return;
    throw wrong(this.#text, `"${punctuation}" is missing`);
  }
}

function inferType(node: Node, text: string): DbusType {
  switch (node.kind) {
    case "string":
      return { code: "s" };
    case "boolean":
      return { code: "b" };
    case "number":
      return { code: /^[-+]?0x/i.test(node.text) || /^[-+]?\d+$/.test(node.text) ? "i" : "d" };
    case "variant":
      return { code: "v" };
    case "typed":
      return node.type;
    case "tuple":
      return { code: "(", fields: node.items.map((item) => inferType(item, text)) };
    case "array":
      return { code: "a", element: commonType(node.items, text) };
    case "dictionary": {
      const keys = node.entries.map(([key]) => key);
      const values = node.entries.map(([, value]) => value);
      return { code: "a", element: { code: "{", key: commonType(keys, text), value: commonType(values, text) } };
    }
  }
}

/** Of the first whose type can be told: one "double" or "uint64" says it for all. */
function commonType(items: Node[], text: string): DbusType {
  const [first] = items;
  if (first === undefined) throw wrong(text, "nothing tells the type of what is empty: @as [] is one of strings");
  const said = items.find((item) => item.kind === "typed") ?? items.find((item) => /[.e]/i.test(textOf(item))) ?? first;
  return inferType(said, text);
}

function textOf(node: Node): string {
  return node.kind === "number" ? node.text : "";
}

function readValue(node: Node, type: DbusType, text: string): DbusValue {
  const { code } = type;
  const refuse = (): EngineError => wrong(text, `a value is not of the type "${formatType(type)}"`);
  switch (node.kind) {
    case "typed":
      if (formatType(node.type) !== formatType(type)) throw refuse();
      return readValue(node.content, type, text);
    case "variant": {
      if (code !== "v") throw refuse();
      const inner = inferType(node.content, text);
      return new Variant(formatType(inner), readValue(node.content, inner, text));
    }
    case "string":
      if (code !== "s" && code !== "o" && code !== "g") throw refuse();
      return node.text;
    case "boolean":
      if (code !== "b") throw refuse();
      return node.text === "true";
    case "number":
      return numberOf(node.text, type, refuse);
    case "tuple":
      if (code !== "(" || type.fields.length !== node.items.length) throw refuse();
      return node.items.map((item, index) => readValue(item, type.fields[index]!, text));
    case "array": {
      if (code !== "a" || type.element.code === "{") throw refuse();
      const { element } = type;
      return node.items.map((item) => readValue(item, element, text));
    }
    case "dictionary": {
      if (code !== "a" || type.element.code !== "{") throw refuse();
      const { key, value } = type.element;
      return new Map(
        node.entries.map(([name, item]) => [readValue(name, key, text) as string, readValue(item, value, text)]),
      );
    }
  }
}

function numberOf(digits: string, { code }: DbusType, refuse: () => EngineError): DbusValue {
  if (code === "d") return Number(digits);
  if (!"ynqiuxth".includes(code) || !/^[-+]?(\d+|0x[0-9a-f]+)$/i.test(digits)) throw refuse();
  const magnitude = BigInt(digits.replace(/^[-+]/, ""));
  const value = digits.startsWith("-") ? -magnitude : magnitude;
  return code === "x" || code === "t" ? value : Number(value);
}

function wrong(text: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `${JSON.stringify(text)}: ${reason}`);
}
