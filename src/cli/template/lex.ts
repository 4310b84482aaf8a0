/**
 * The words of Go's text/template (https://pkg.go.dev/text/template). Positions are indices into the source, as a
 * string of JavaScript's.
 */

export type TokenKind =
  | "error"
  | "bool"
  | "character"
  | "rune"
  | "assign"
  | "declare"
  | "end of file"
  | "field"
  | "identifier"
  | "left delimiter"
  | "left parenthesis"
  | "number"
  | "pipe"
  | "raw string"
  | "right delimiter"
  | "right parenthesis"
  | "space"
  | "string"
  | "text"
  | "variable"
  | "keyword";

export interface Token {
  kind: TokenKind;
  text: string;
  at: number;
  line: number;
}

const keywords = new Set([
  ".",
  "block",
  "break",
  "continue",
  "define",
  "else",
  "end",
  "if",
  "nil",
  "range",
  "template",
  "with",
]);

const word = /[\p{L}\p{Nd}_]/u;
const words = /[\p{L}\p{Nd}_]*/uy;
const spaces = /[ \t\r\n]*/y;
const number = /[+-]?(?:0[xX][\da-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*|[\d_]*)(?:\.[\da-fA-F_]*)?(?:[eEpP][+-]?[\d_]*)?i?/y;

/** Cuts a template into tokens. The last one is the end of the file, or the error that ends it. */
export function lexTemplate(source: string): Token[] {
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#text());
    return this.#tokens;
  }

  /** Text up to an action, and the action. @returns whether there is more. */
  #text(): boolean {
    const open = this.#source.indexOf("{{", this.#at);
    const end = open < 0 ? this.#source.length : open;
    const trims = open >= 0 && this.#trimsBefore(open);
    const text = this.#source.slice(this.#at, end);
    const kept = trims ? text.replace(/[ \t\r\n]+$/, "") : text;
    if (kept !== "") this.#emit("text", kept);
    this.#skipTo(end);
    if (open < 0) {
      this.#emit("end of file", "");
      return false;
    }
    const inside = open + (trims ? 4 : 2);
    if (this.#source.startsWith("/*", inside)) return this.#comment(inside);
    this.#emit("left delimiter", "{{");
    this.#skipTo(inside);
    this.#depth = 0;
    while (this.#inside());
    return this.#tokens.at(-1)!.kind === "right delimiter";
  }

  #trimsBefore(open: number): boolean {
    return this.#source[open + 2] === "-" && isSpace(this.#source[open + 3]);
  }

  /** Is here the end of the action, with or without the sign that takes away the white space behind it? */
  #closing(at: number): "plain" | "trimming" | undefined {
    if (isSpace(this.#source[at]) && this.#source.startsWith("-}}", at + 1)) return "trimming";
    return this.#source.startsWith("}}", at) ? "plain" : undefined;
  }

  #close(closing: "plain" | "trimming"): void {
    this.#skipTo(this.#at + (closing === "trimming" ? 4 : 2));
    if (closing === "plain") return;
    spaces.lastIndex = this.#at;
    this.#skipTo(this.#at + spaces.exec(this.#source)![0].length);
  }

  #comment(start: number): boolean {
    const end = this.#source.indexOf("*/", start + 2);
    this.#skipTo(start);
    if (end < 0) return this.#fail("unclosed comment");
    const closing = this.#closing(end + 2);
    if (closing === undefined) return this.#fail("comment ends before closing delimiter");
    this.#skipTo(end + 2);
    this.#close(closing);
    return true;
  }

  /** One token within an action. @returns whether the action goes on. */
  #inside(): boolean {
    const closing = this.#closing(this.#at);
    if (closing !== undefined) {
      if (this.#depth > 0) return this.#fail("unclosed left paren");
      this.#emit("right delimiter", "}}");
      this.#close(closing);
      return false;
    }
    const character = this.#source.codePointAt(this.#at);
    if (character === undefined) return this.#fail("unclosed action");
    const text = String.fromCodePoint(character);
    if (isSpace(text)) return this.#space();
    switch (text) {
      case "=":
        return this.#take("assign", "=");
      case ":":
        return this.#source[this.#at + 1] === "=" ? this.#take("declare", ":=") : this.#fail("expected :=");
      case "|":
        return this.#take("pipe", "|");
      case '"':
        return this.#quoted('"', "string", "unterminated quoted string");
      case "'":
        return this.#quoted("'", "rune", "unterminated character constant");
      case "`":
        return this.#rawString();
      case "$":
        return this.#named("variable", "variable");
      case "(":
        this.#depth++;
        return this.#take("left parenthesis", "(");
      case ")":
        return --this.#depth < 0 ? this.#fail("unexpected right paren") : this.#take("right parenthesis", ")");
    }
    const next = this.#source[this.#at + 1];
    if (text === "." && next !== undefined && !/\d/.test(next)) return this.#named("field", "keyword");
    if (/[.+\-\d]/.test(text)) return this.#number();
    if (word.test(text)) return this.#identifier();
    if (/[\x20-\x7e]/.test(text)) return this.#take("character", text);
    return this.#fail(`unrecognized character in action: ${unicode(text)}`);
  }

  #space(): boolean {
    let end = this.#at;
    while (isSpace(this.#source[end]) && this.#closing(end) !== "trimming") end++;
    return this.#take("space", this.#source.slice(this.#at, end));
  }

  /** `.name` or `$name`, or the sign alone. */
  #named(kind: TokenKind, alone: TokenKind): boolean {
    words.lastIndex = this.#at + 1;
    const name = words.exec(this.#source)![0];
    const end = this.#at + 1 + name.length;
    if (!this.#isTerminator(end)) return this.#badCharacter(end);
    return this.#take(name === "" ? alone : kind, this.#source.slice(this.#at, end));
  }

  #identifier(): boolean {
    words.lastIndex = this.#at;
    const name = words.exec(this.#source)![0];
    const end = this.#at + name.length;
    if (!this.#isTerminator(end)) return this.#badCharacter(end);
    if (keywords.has(name)) return this.#take("keyword", name);
    return this.#take(name === "true" || name === "false" ? "bool" : "identifier", name);
  }

  /** Two of them with a sign between make a complex one, which ends in `i`. */
  #number(): boolean {
    number.lastIndex = this.#at;
    let text = number.exec(this.#source)![0];
    const sign = this.#source[this.#at + text.length];
    const isComplex = sign === "+" || sign === "-";
    if (isComplex) {
      number.lastIndex = this.#at + text.length;
      text += number.exec(this.#source)![0];
    }
    const next = String.fromCodePoint(this.#source.codePointAt(this.#at + text.length) ?? 0);
    if (word.test(next)) return this.#fail(`bad number syntax: ${JSON.stringify(text + next)}`);
    if (isComplex && !text.endsWith("i")) return this.#fail(`bad number syntax: ${JSON.stringify(text)}`);
    return this.#take("number", text);
  }

  #quoted(quote: string, kind: TokenKind, unterminated: string): boolean {
    for (let end = this.#at + 1; ; end++) {
      const escapes = this.#source[end] === "\\";
      if (escapes) end++;
      const character = this.#source[end];
      if (character === undefined || character === "\n") return this.#fail(unterminated);
      if (character === quote && !escapes) return this.#take(kind, this.#source.slice(this.#at, end + 1));
    }
  }

  #rawString(): boolean {
    const end = this.#source.indexOf("`", this.#at + 1);
    if (end < 0) return this.#fail("unterminated raw quoted string");
    return this.#take("raw string", this.#source.slice(this.#at, end + 1));
  }

  /** Can a name end here? That is what makes `$x+2` a mistake. */
  #isTerminator(at: number): boolean {
    const character = this.#source[at];
    return (
      character === undefined || isSpace(character) || ".,|:)(".includes(character) || this.#source.startsWith("}}", at)
    );
  }

  #badCharacter(at: number): boolean {
    return this.#fail(`bad character ${unicode(String.fromCodePoint(this.#source.codePointAt(at)!))}`);
  }

  #take(kind: TokenKind, text: string): true {
    this.#emit(kind, text);
    this.#skipTo(this.#at + text.length);
    return true;
  }

  #emit(kind: TokenKind, text: string): void {
    this.#tokens.push({ kind, text, at: this.#at, line: this.#line });
  }

  #fail(text: string): false {
    this.#emit("error", text);
    return false;
  }

  #skipTo(at: number): void {
    for (let next = this.#source.indexOf("\n", this.#at); next >= 0 && next < at; ) {
      this.#line++;
      next = this.#source.indexOf("\n", next + 1);
    }
    this.#at = at;
  }
}

function isSpace(character: string | undefined): boolean {
  return character === " " || character === "\t" || character === "\r" || character === "\n";
}

/** `U+007D '}'` */
function unicode(character: string): string {
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")} '${character}'`;
}
