import { EngineError } from "../../core/errors.ts";

/** The words of Go's text/template (https://pkg.go.dev/text/template), as far as `--format` uses them. */

export type Token =
  | { kind: "field"; name: string } // .Name, directly behind an operand or alone
  | { kind: "dot" }
  | { kind: "variable"; name: string } // $ or $name
  | { kind: "word"; name: string } // a function, a keyword, true, false, nil
  | { kind: "string"; value: string }
  | { kind: "number"; value: number }
  | { kind: "punctuation"; text: "(" | ")" | "|" | ":=" | "=" | "," }
  | { kind: "space" };

export type Piece = { kind: "text"; text: string } | { kind: "action"; tokens: Token[]; source: string };

/** A mistake in a template, or a field that it names and the object lacks. */
export class TemplateError extends EngineError {
  constructor(message: string) {
    super("invalid_argument", `template parsing error: ${message}`);
  }
}

/** Cuts a template into text and actions; `{{-` and `-}}` take the white space beside them away. */
export function lexTemplate(template: string): Piece[] {
  const pieces: Piece[] = [];
  let rest = template;
  let trimNext = false;
  for (;;) {
    const open = rest.indexOf("{{");
    let text = open === -1 ? rest : rest.slice(0, open);
    if (trimNext) text = text.trimStart();
    if (open === -1) {
      if (text !== "") pieces.push({ kind: "text", text });
      return pieces;
    }
    const trimBefore = /^\{\{-\s/.test(rest.slice(open));
    if (trimBefore) text = text.trimEnd();
    if (text !== "") pieces.push({ kind: "text", text });
    const start = open + (trimBefore ? 3 : 2);
    const end = actionEnd(rest, start);
    let source = rest.slice(start, end);
    trimNext = /\s-$/.test(source);
    if (trimNext) source = source.slice(0, -1);
    rest = rest.slice(end + 2);
    if (!/^\s*\/\*[\s\S]*\*\/\s*$/.test(source))
      pieces.push({ kind: "action", tokens: lexAction(source), source: source.trim() });
  }
}

/** The position of the `}}` that ends the action, past any inside quotes. */
function actionEnd(text: string, start: number): number {
  const word = /"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)*'|\}\}/g;
  word.lastIndex = start;
  for (let match = word.exec(text); match; match = word.exec(text)) if (match[0] === "}}") return match.index;
  throw new TemplateError("template: :1: unclosed action");
}

const patterns =
  /(?<space>\s+)|(?<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?<char>'(?:[^'\\]|\\.)+')|(?<number>[+-]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?))|(?<variable>\$\w*)|(?<field>\.[A-Za-z_]\w*)|(?<dot>\.)|(?<word>[A-Za-z_]\w*)|(?<punctuation>:=|[()|=,])/y;

function lexAction(source: string): Token[] {
  const tokens: Token[] = [];
  patterns.lastIndex = 0;
  while (patterns.lastIndex < source.length) {
    const at = patterns.lastIndex;
    const match = patterns.exec(source);
    if (!match) throw new TemplateError(`template: :1: unexpected ${JSON.stringify(source[at])} in action`);
    tokens.push(tokenOf(match));
  }
  return tokens;
}

function tokenOf(match: RegExpExecArray): Token {
  const { space, string, char, number, variable, field, dot, word } = match.groups!;
  if (space !== undefined) return { kind: "space" };
  if (string !== undefined) return { kind: "string", value: unquote(string) };
  if (char !== undefined) return { kind: "number", value: unquote(`"${char.slice(1, -1)}"`).codePointAt(0)! };
  if (number !== undefined) return { kind: "number", value: Number(number) };
  if (variable !== undefined) return { kind: "variable", name: variable };
  if (field !== undefined) return { kind: "field", name: field.slice(1) };
  if (dot !== undefined) return { kind: "dot" };
  if (word !== undefined) return { kind: "word", name: word };
  return { kind: "punctuation", text: match[0] as "(" | ")" | "|" | ":=" | "=" | "," };
}

const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" };

/** A Go string literal: interpreted, or raw between back quotes. */
function unquote(literal: string): string {
  if (literal.startsWith("`")) return literal.slice(1, -1);
  return literal
    .slice(1, -1)
    .replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/g, (_, code: string) => {
      if (/^[xuU]./.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
      if (/^[0-7]{3}$/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
      return escapes[code] ?? code;
    });
}
