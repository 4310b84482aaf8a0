import { CallError, TemplateError } from "./error.ts";
import { lexTemplate, type Token } from "./lex.ts";
import { parseNumber, parseRune, unquote } from "./literals.ts";
import {
  type CommandNode,
  type EndNode,
  type Node,
  nodeText,
  type Operand,
  type PipelineNode,
  type TemplateNode,
} from "./tree.ts";

/** A template and those that it defines, by name. */
export interface Parsed {
  source: string;
  /** Of the whole, in errors. */
  name: string;
  root: Node[];
  defined: Map<string, Node[]>;
}

/**
 * Parses Go's text/template.
 * @param isFunction whether there is a function of that name.
 * @throws TemplateError with Go's words, and the number of the line.
 */
export function parseTemplate(source: string, name: string, isFunction: (name: string) => boolean): Parsed {
  const shared = { tokens: lexTemplate(source), at: 0, name, isFunction, defined: new Map<string, Node[]>() };
  const root = new Parser(shared).whole();
  return { source, name, root, defined: shared.defined };
}

interface Shared {
  readonly tokens: Token[];
  /** Of the token that comes next. */
  at: number;
  readonly name: string;
  readonly isFunction: (name: string) => boolean;
  readonly defined: Map<string, Node[]>;
}

/** Of one template: those that it defines have parsers and variables of their own. */
class Parser {
  readonly #shared: Shared;
  #variables = ["$"];
  #loops = 0;
  /** The line of the action that is being read, for what is wrong further down. */
  #actionLine = 0;

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  whole(): Node[] {
    const nodes: Node[] = [];
    while (this.#peek().kind !== "end of file") {
      if (this.#peek().kind === "left delimiter") {
        const start = this.#shared.at;
        this.#next();
        if (isKeyword(this.#nextNonSpace(), "define")) {
          new Parser(this.#shared).definition();
          continue;
        }
        this.#shared.at = start;
      }
      const node = this.#textOrAction();
      if (isEnd(node)) throw this.#error(`unexpected ${nodeText(node)}`);
      nodes.push(node);
    }
    return nodes;
  }

  definition(): void {
    const name = this.#templateName(this.#nextNonSpace(), "define clause");
    this.#expect("right delimiter", "define clause");
    const { nodes, end } = this.#list();
    if (end.kind !== "end") throw this.#error(`unexpected ${nodeText(end)} in define clause`);
    this.#define(name, nodes);
  }

  #define(name: string, nodes: Node[]): void {
    const { defined } = this.#shared;
    const before = defined.get(name);
    if (before !== undefined && !isEmpty(before)) {
      if (isEmpty(nodes)) return;
      throw this.#error(`template: multiple definition of template ${JSON.stringify(name)}`);
    }
    defined.set(name, nodes);
  }

  /** Up to an `{{end}}` or `{{else}}`. */
  #list(): { nodes: Node[]; end: EndNode } {
    const nodes: Node[] = [];
    while (this.#peek().kind !== "end of file") {
      const node = this.#textOrAction();
      if (isEnd(node)) return { nodes, end: node };
      nodes.push(node);
    }
    this.#next();
    throw this.#error("unexpected EOF");
  }

  #textOrAction(): Node | EndNode {
    const token = this.#nextNonSpace();
    if (token.kind === "text") return { kind: "text", at: token.at, text: token.text };
    if (token.kind !== "left delimiter") throw this.#unexpected(token, "input");
    this.#actionLine = token.line;
    const node = this.#action();
    this.#actionLine = 0;
    return node;
  }

  #action(): Node | EndNode {
    const start = this.#shared.at;
    const token = this.#nextNonSpace();
    switch (token.kind === "keyword" ? token.text : "") {
      case "block":
        return this.#block();
      case "break":
      case "continue":
        return this.#jump(token.text as "break" | "continue", token.at);
      case "else":
        return this.#else();
      case "end":
        return { kind: "end", at: this.#expect("right delimiter", "end").at };
      case "if":
      case "range":
      case "with":
        return this.#control(token.text as "if" | "range" | "with");
      case "template":
        return this.#template();
    }
    this.#shared.at = start;
    return { kind: "action", at: this.#peek().at, pipeline: this.#pipeline("command", "right delimiter") };
  }

  #jump(kind: "break" | "continue", at: number): Node {
    const token = this.#nextNonSpace();
    if (token.kind !== "right delimiter") throw this.#unexpected(token, `{{${kind}}}`);
    if (this.#loops === 0) throw this.#error(`{{${kind}}} outside {{range}}`);
    return { kind, at };
  }

  /** `{{else if` and `{{else with` leave the keyword for who reads the block. */
  #else(): EndNode {
    const next = this.#peekNonSpace();
    if (isKeyword(next, "if") || isKeyword(next, "with")) return { kind: "else", at: next.at };
    return { kind: "else", at: this.#expect("right delimiter", "else").at };
  }

  #control(kind: "if" | "range" | "with"): Node {
    const depth = this.#variables.length;
    const pipeline = this.#pipeline(kind, "right delimiter");
    if (kind === "range") this.#loops++;
    const { nodes: body, end } = this.#list();
    if (kind === "range") this.#loops--;
    let otherwise: Node[] | undefined;
    if (end.kind === "else") {
      if (kind !== "range" && isKeyword(this.#peek(), kind)) {
        this.#next();
        otherwise = [this.#control(kind)];
      } else {
        const rest = this.#list();
        otherwise = rest.nodes;
        if (rest.end.kind !== "end") throw this.#error(`expected end; found ${nodeText(rest.end)}`);
      }
    }
    this.#variables.length = depth;
    return { kind, at: pipeline.at, pipeline, body, otherwise };
  }

  #block(): TemplateNode {
    const token = this.#nextNonSpace();
    const name = this.#templateName(token, "block clause");
    const pipeline = this.#pipeline("block clause", "right delimiter");
    const { nodes, end } = new Parser(this.#shared).#list();
    if (end.kind !== "end") throw this.#error(`unexpected ${nodeText(end)} in block clause`);
    this.#define(name, nodes);
    return { kind: "template", at: token.at, name, pipeline };
  }

  #template(): TemplateNode {
    const token = this.#nextNonSpace();
    const name = this.#templateName(token, "template clause");
    if (this.#peekNonSpace().kind === "right delimiter") {
      this.#nextNonSpace();
      return { kind: "template", at: token.at, name, pipeline: undefined };
    }
    return { kind: "template", at: token.at, name, pipeline: this.#pipeline("template clause", "right delimiter") };
  }

  #templateName(token: Token, context: string): string {
    if (token.kind !== "string" && token.kind !== "raw string") throw this.#unexpected(token, context);
    return this.#literal(() => unquote(token.text));
  }

  #pipeline(context: string, end: "right delimiter" | "right parenthesis"): PipelineNode {
    const pipeline: PipelineNode = {
      kind: "pipeline",
      at: this.#peekNonSpace().at,
      variables: [],
      isAssignment: false,
      commands: [],
    };
    while (this.#declaration(pipeline, context));
    for (;;) {
      const start = this.#shared.at;
      const token = this.#nextNonSpace();
      if (token.kind === end) break;
      if (!beginsOperand(token)) throw this.#unexpected(token, context);
      this.#shared.at = start;
      pipeline.commands.push(this.#command());
    }
    if (pipeline.commands.length === 0) throw this.#error(`missing value for ${context}`);
    pipeline.commands.slice(1).forEach(({ operands }, index) => {
      if (!["bool", "dot", "nil", "number", "string"].includes(operands[0]!.kind)) return;
      throw this.#error(`non executable command in pipeline stage ${index + 2}`);
    });
    return pipeline;
  }

  /** `$x :=`, `$x =`, or `$i,` of `$i, $x :=`. @returns whether another name is to follow. */
  #declaration(pipeline: PipelineNode, context: string): boolean {
    const variable = this.#peekNonSpace();
    if (variable.kind !== "variable") return false;
    const start = this.#shared.at;
    this.#next();
    const operator = this.#peekNonSpace();
    const isComma = operator.kind === "character" && operator.text === ",";
    if (operator.kind !== "assign" && operator.kind !== "declare" && !isComma) {
      this.#shared.at = start;
      return false;
    }
    this.#nextNonSpace();
    pipeline.variables.push(variable.text);
    this.#variables.push(variable.text);
    if (!isComma) {
      pipeline.isAssignment = operator.kind === "assign";
      return false;
    }
    if (context !== "range" || pipeline.variables.length > 1) throw this.#error(`too many declarations in ${context}`);
    if (["variable", "right delimiter", "right parenthesis"].includes(this.#peekNonSpace().kind)) return true;
    throw this.#error("range can only initialize variables");
  }

  #command(): CommandNode {
    const command: CommandNode = { kind: "command", at: this.#peekNonSpace().at, operands: [] };
    for (;;) {
      this.#peekNonSpace();
      const operand = this.#operand();
      if (operand !== undefined) command.operands.push(operand);
      const token = this.#next();
      if (token.kind === "space") continue;
      if (token.kind === "right delimiter" || token.kind === "right parenthesis") this.#shared.at--;
      else if (token.kind !== "pipe") throw this.#unexpected(token, "operand");
      break;
    }
    if (command.operands.length === 0) throw this.#error("empty command");
    return command;
  }

  #operand(): Operand | undefined {
    const term = this.#term();
    if (term === undefined || this.#peek().kind !== "field") return term;
    const at = this.#peek().at;
    const names: string[] = [];
    while (this.#peek().kind === "field") names.push(this.#next().text.slice(1));
    switch (term.kind) {
      case "field":
        return { kind: "field", at, names: [...term.names, ...names] };
      case "variable":
        return { kind: "variable", at, name: term.name, fields: [...term.fields, ...names] };
      case "bool":
      case "string":
      case "number":
      case "nil":
      case "dot":
        throw this.#error(`unexpected . after term ${JSON.stringify(nodeText(term))}`);
      default:
        return { kind: "chain", at, of: term, fields: names };
    }
  }

  #term(): Operand | undefined {
    const start = this.#shared.at;
    const token = this.#nextNonSpace();
    const { at, text } = token;
    switch (token.kind) {
      case "identifier":
        if (!this.#shared.isFunction(text)) throw this.#error(`function ${JSON.stringify(text)} not defined`);
        return { kind: "identifier", at, name: text };
      case "keyword":
        if (text === ".") return { kind: "dot", at };
        if (text === "nil") return { kind: "nil", at };
        break;
      case "variable":
        if (!this.#variables.includes(text)) throw this.#error(`undefined variable ${JSON.stringify(text)}`);
        return { kind: "variable", at, name: text, fields: [] };
      case "field":
        return { kind: "field", at, names: [text.slice(1)] };
      case "bool":
        return { kind: "bool", at, value: text === "true" };
      case "number":
        return { kind: "number", at, text, value: this.#literal(() => parseNumber(text)) };
      case "rune":
        return { kind: "number", at, text, value: this.#literal(() => parseRune(text)) };
      case "left parenthesis":
        return this.#pipeline("parenthesized pipeline", "right parenthesis");
      case "string":
      case "raw string":
        return { kind: "string", at, quoted: text, value: this.#literal(() => unquote(text)) };
    }
    this.#shared.at = start;
    return undefined;
  }

  #literal<T>(parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      throw this.#error(error.message);
    }
  }

  #next(): Token {
    const { tokens } = this.#shared;
    // Behind the last there is nothing but the last.
    return tokens[Math.min(this.#shared.at++, tokens.length - 1)]!;
  }

  #peek(): Token {
    const { tokens, at } = this.#shared;
    return tokens[Math.min(at, tokens.length - 1)]!;
  }

  #nextNonSpace(): Token {
    const token = this.#peekNonSpace();
    this.#next();
    return token;
  }

  #peekNonSpace(): Token {
    while (this.#peek().kind === "space") this.#next();
    return this.#peek();
  }

  #expect(kind: Token["kind"], context: string): Token {
    const token = this.#nextNonSpace();
    if (token.kind !== kind) throw this.#unexpected(token, context);
    return token;
  }

  #unexpected(token: Token, context: string): TemplateError {
    if (token.kind !== "error") return this.#error(`unexpected ${tokenText(token)} in ${context}`);
    if (this.#actionLine === 0 || this.#actionLine === token.line) return this.#error(token.text);
    const where = ` in action started at ${this.#shared.name}:${this.#actionLine}`;
    return this.#error(token.text + (token.text.endsWith(" action") ? where.slice(" in action".length) : where));
  }

  /** On the line of the token that was read last. */
  #error(text: string): TemplateError {
    const { tokens, at, name } = this.#shared;
    const token = tokens[Math.min(Math.max(at - 1, 0), tokens.length - 1)]!;
    return new TemplateError(`template: ${name}:${token.line}: ${text}`, "parse");
  }
}

function isEnd(node: Node | EndNode): node is EndNode {
  return node.kind === "end" || node.kind === "else";
}

function isKeyword(token: Token, text: string): boolean {
  return token.kind === "keyword" && token.text === text;
}

function beginsOperand({ kind, text }: Token): boolean {
  if (kind === "keyword") return text === "." || text === "nil";
  const beginning = ["bool", "rune", "field", "identifier", "number", "raw string", "string", "variable"];
  return kind === "left parenthesis" || beginning.includes(kind);
}

function tokenText({ kind, text }: Token): string {
  if (kind === "end of file") return "EOF";
  if (kind === "keyword") return `<${text}>`;
  return text.length > 10 ? `${JSON.stringify(text.slice(0, 10))}...` : JSON.stringify(text);
}

/** Nothing but white space. */
function isEmpty(nodes: Node[]): boolean {
  return nodes.every((node) => node.kind === "text" && node.text.trim() === "");
}
