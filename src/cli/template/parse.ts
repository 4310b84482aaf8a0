import { lexTemplate, type Piece, TemplateError, type Token } from "./lex.ts";

/** The syntax tree of a template. */
export type Node =
  | { kind: "text"; text: string }
  | { kind: "action"; pipeline: Pipeline }
  | { kind: "if" | "with"; pipeline: Pipeline; body: Node[]; otherwise: Node[] }
  | { kind: "range"; pipeline: Pipeline; body: Node[]; otherwise: Node[] }
  | { kind: "break" | "continue" };

export interface Pipeline {
  /** Names on the left of `:=` or `=`; two are possible in range only. */
  variables: string[];
  isDeclaration: boolean;
  /** Each command's value becomes the last argument of the next. */
  commands: Operand[][];
  source: string;
}

export type Operand =
  | { kind: "dot" }
  | { kind: "variable"; name: string }
  | { kind: "literal"; value: string | number | boolean | null }
  | { kind: "function"; name: string }
  | { kind: "pipeline"; pipeline: Pipeline }
  | { kind: "fields"; of: Operand; names: string[] };

/** @throws TemplateError with Go's words where scripts may read them. */
export function parseTemplate(template: string): Node[] {
  const parser = new Parser(lexTemplate(template));
  const { nodes, ended } = parser.block();
  if (ended !== "end of template") throw new TemplateError(`template: :1: unexpected {{${ended}}}`);
  return nodes;
}

type BlockEnd = "end" | "else" | "end of template";

class Parser {
  readonly #pieces: Piece[];
  #at = 0;
  /** The tokens behind `else` of the block that just ended: `{{else if .X}}`. */
  #elseTokens: ActionReader | undefined;

  constructor(pieces: Piece[]) {
    this.#pieces = pieces;
  }

  block(): { nodes: Node[]; ended: BlockEnd } {
    const nodes: Node[] = [];
    for (;;) {
      const piece = this.#pieces[this.#at++];
      if (piece === undefined) return { nodes, ended: "end of template" };
      if (piece.kind === "text") {
        nodes.push(piece);
        continue;
      }
      const reader = new ActionReader(piece.tokens, piece.source);
      const keyword = reader.keyword();
      if (keyword === "end") return { nodes, ended: "end" };
      if (keyword === "else") {
        this.#elseTokens = reader;
        return { nodes, ended: "else" };
      }
      nodes.push(this.#node(keyword, reader));
    }
  }

  #node(keyword: string | undefined, reader: ActionReader): Node {
    switch (keyword) {
      case "if":
      case "with":
      case "range":
        return this.#control(keyword, reader);
      case "break":
      case "continue":
        return { kind: keyword };
      case "define":
      case "template":
      case "block":
        throw new TemplateError(`template: :1: {{${keyword}}} is not supported in --format`);
      default:
        return { kind: "action", pipeline: reader.pipeline() };
    }
  }

  #control(kind: "if" | "with" | "range", reader: ActionReader): Node {
    const pipeline = reader.pipeline();
    const { nodes: body, ended } = this.block();
    if (ended === "end of template") throw new TemplateError("template: :1: unexpected EOF");
    if (ended === "end") return { kind, pipeline, body, otherwise: [] };
    const elseReader = this.#elseTokens!;
    const nested = elseReader.keyword();
    if (nested === "if" || nested === "with") {
      return { kind, pipeline, body, otherwise: [this.#control(nested, elseReader)] };
    }
    const { nodes: otherwise, ended: end } = this.block();
    if (end !== "end") throw new TemplateError(`template: :1: unexpected ${end === "else" ? "{{else}}" : "EOF"}`);
    return { kind, pipeline, body, otherwise };
  }
}

const keywords = new Set(["if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"]);

/** Reads the inside of one action. */
class ActionReader {
  readonly #tokens: Token[];
  readonly #source: string;
  #at = 0;

  constructor(tokens: Token[], source: string) {
    this.#tokens = tokens;
    this.#source = source;
    this.#skipSpace();
  }

  keyword(): string | undefined {
    const token = this.#tokens[this.#at];
    if (token?.kind !== "word" || !keywords.has(token.name)) return undefined;
    this.#at++;
    this.#skipSpace();
    return token.name;
  }

  pipeline(closing = false): Pipeline {
    const { variables, isDeclaration } = this.#assignment();
    const commands: Operand[][] = [];
    for (;;) {
      commands.push(this.#command());
      const token = this.#tokens[this.#at];
      if (token === undefined && !closing) break;
      if (token?.kind === "punctuation" && token.text === ")" && closing) break;
      if (token?.kind !== "punctuation" || token.text !== "|") throw this.#unexpected(token);
      this.#at++;
    }
    return { variables, isDeclaration, commands, source: this.#source };
  }

  /** `$x :=`, `$i, $x :=` or `$x =` at the front, when it is there. */
  #assignment(): { variables: string[]; isDeclaration: boolean } {
    const start = this.#at;
    const variables: string[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token?.kind !== "variable") break;
      variables.push(token.name);
      this.#at++;
      this.#skipSpace();
      const operator = this.#tokens[this.#at];
      if (operator?.kind !== "punctuation") break;
      this.#at++;
      this.#skipSpace();
      if (operator.text === ":=" || operator.text === "=") return { variables, isDeclaration: operator.text === ":=" };
      if (operator.text !== ",") break;
    }
    this.#at = start;
    return { variables: [], isDeclaration: false };
  }

  #command(): Operand[] {
    const operands: Operand[] = [];
    for (;;) {
      this.#skipSpace();
      const token = this.#tokens[this.#at];
      if (token === undefined || (token.kind === "punctuation" && token.text !== "(")) break;
      operands.push(this.#operand());
    }
    if (operands.length === 0) throw new TemplateError("template: :1: missing value for command");
    return operands;
  }

  #operand(): Operand {
    const token = this.#tokens[this.#at++]!;
    const operand = this.#primary(token);
    const names: string[] = token.kind === "field" ? [token.name] : [];
    for (let next = this.#tokens[this.#at]; next?.kind === "field"; next = this.#tokens[this.#at]) {
      names.push(next.name);
      this.#at++;
    }
    return names.length === 0 ? operand : { kind: "fields", of: operand, names };
  }

  #primary(token: Token): Operand {
    switch (token.kind) {
      case "field":
      case "dot":
        return { kind: "dot" };
      case "variable":
        return { kind: "variable", name: token.name };
      case "string":
      case "number":
        return { kind: "literal", value: token.value };
      case "word":
        if (token.name === "true" || token.name === "false") return { kind: "literal", value: token.name === "true" };
        if (token.name === "nil") return { kind: "literal", value: null };
        return { kind: "function", name: token.name };
      default: {
        if (token.kind !== "punctuation" || token.text !== "(") throw this.#unexpected(token);
        this.#skipSpace();
        const pipeline = this.pipeline(true);
        this.#at++; // the closing parenthesis that pipeline() stopped at
        return { kind: "pipeline", pipeline };
      }
    }
  }

  #skipSpace(): void {
    while (this.#tokens[this.#at]?.kind === "space") this.#at++;
  }

  #unexpected(token: Token | undefined): TemplateError {
    const shown = token === undefined ? "end of action" : token.kind === "punctuation" ? `"${token.text}"` : token.kind;
    return new TemplateError(`template: :1: unexpected ${shown} in {{${this.#source}}}`);
  }
}
