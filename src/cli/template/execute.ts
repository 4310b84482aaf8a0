import { formatValue, isTrue, type TemplateFunction, templateFunctions } from "./functions.ts";
import { TemplateError } from "./lex.ts";
import { type Node, type Operand, type Pipeline, parseTemplate } from "./parse.ts";

/** A template, ready to be applied to any number of objects. */
export interface Template {
  execute(data: unknown): string;
}

/**
 * Compiles the value of `--format`.
 * @throws TemplateError for wrong syntax; `execute` throws it for a field that the object does not have.
 */
export function compileTemplate(source: string, extra: Record<string, TemplateFunction> = {}): Template {
  const nodes = parseTemplate(source);
  const functions = { ...templateFunctions, ...extra };
  return {
    execute: (data) => {
      const scope = new Scope(functions, data);
      scope.run(nodes, data);
      return scope.output;
    },
  };
}

type Flow = "break" | "continue" | undefined;

class Scope {
  output = "";
  readonly #functions: Record<string, TemplateFunction>;
  /** Innermost last; a block's variables are dropped at its end. */
  readonly #variables: { name: string; value: unknown }[];

  constructor(functions: Record<string, TemplateFunction>, data: unknown) {
    this.#functions = functions;
    this.#variables = [{ name: "$", value: data }];
  }

  run(nodes: Node[], dot: unknown): Flow {
    for (const node of nodes) {
      const flow = this.#node(node, dot);
      if (flow !== undefined) return flow;
    }
    return undefined;
  }

  #node(node: Node, dot: unknown): Flow {
    switch (node.kind) {
      case "text":
        this.output += node.text;
        return undefined;
      case "action": {
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length === 0) this.output += formatValue(value);
        return undefined;
      }
      case "break":
      case "continue":
        return node.kind;
      default:
        return this.#block(() => (node.kind === "range" ? this.#range(node, dot) : this.#branch(node, dot)));
    }
  }

  #branch(node: Extract<Node, { pipeline: Pipeline; body: Node[] }>, dot: unknown): Flow {
    const value = this.#pipeline(node.pipeline, dot);
    if (!isTrue(value)) return this.run(node.otherwise, dot);
    return this.run(node.body, node.kind === "with" ? value : dot);
  }

  #range(node: Extract<Node, { pipeline: Pipeline; body: Node[] }>, dot: unknown): Flow {
    const entries = rangeEntries(this.#pipeline({ ...node.pipeline, variables: [] }, dot));
    if (entries.length === 0) return this.run(node.otherwise, dot);
    for (const [key, value] of entries) {
      const flow = this.#block(() => {
        const names = node.pipeline.variables;
        if (names.length === 1) this.#variables.push({ name: names[0]!, value });
        if (names.length === 2) this.#variables.push({ name: names[0]!, value: key }, { name: names[1]!, value });
        return this.run(node.body, value);
      });
      if (flow === "break") break;
    }
    return undefined;
  }

  #block(body: () => Flow): Flow {
    const depth = this.#variables.length;
    const flow = body();
    this.#variables.length = depth;
    return flow;
  }

  #pipeline(pipeline: Pipeline, dot: unknown): unknown {
    let value: unknown;
    pipeline.commands.forEach((command, index) => {
      value = this.#command(command, dot, index > 0 ? [value] : [], pipeline.source);
    });
    for (const name of pipeline.variables) {
      if (pipeline.isDeclaration) this.#variables.push({ name, value });
      else this.#variable(name).value = value;
    }
    return value;
  }

  #command([first, ...rest]: Operand[], dot: unknown, piped: unknown[], source: string): unknown {
    if (first!.kind === "function") {
      const args = [...rest.map((operand) => this.#operand(operand, dot, source)), ...piped];
      return this.#call(first!.name, args);
    }
    const value = this.#operand(first!, dot, source);
    if (typeof value === "function") {
      const args = [...rest.map((operand) => this.#operand(operand, dot, source)), ...piped];
      if (args.length === value.length) return value(...args);
      throw new TemplateError(
        `template: :1: executing "" at <${source}>: wrong number of args for a method: want ${value.length} got ${args.length}`,
      );
    }
    if (rest.length > 0 || piped.length > 0) {
      throw new TemplateError(`template: :1: can't give argument to non-function in {{${source}}}`);
    }
    return value;
  }

  #call(name: string, args: unknown[]): unknown {
    const call = Object.hasOwn(this.#functions, name) ? this.#functions[name] : undefined;
    if (call === undefined) throw new TemplateError(`template: :1: function ${JSON.stringify(name)} not defined`);
    return call(...args);
  }

  #operand(operand: Operand, dot: unknown, source: string): unknown {
    switch (operand.kind) {
      case "dot":
        return dot;
      case "literal":
        return operand.value;
      case "variable":
        return this.#variable(operand.name).value;
      case "function":
        return this.#call(operand.name, []);
      case "pipeline":
        return this.#pipeline(operand.pipeline, dot);
      case "fields":
        return operand.names.reduce(
          (value, name) => field(value, name, source),
          this.#operand(operand.of, dot, source),
        );
    }
  }

  #variable(name: string): { value: unknown } {
    const found = this.#variables.findLast((variable) => variable.name === name);
    if (found === undefined) throw new TemplateError(`template: :1: undefined variable ${JSON.stringify(name)}`);
    return found;
  }
}

function field(value: unknown, name: string, source: string): unknown {
  const where = `template: :1: executing "" at <${source}>`;
  if (value === null || value === undefined)
    throw new TemplateError(`${where}: nil data; no entry for key ${JSON.stringify(name)}`);
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new TemplateError(
      `${where}: can't evaluate field ${name} in type ${Array.isArray(value) ? "[]interface {}" : typeof value}`,
    );
  }
  if (!Object.hasOwn(value, name))
    throw new TemplateError(`${where}: map has no entry for key ${JSON.stringify(name)}`);
  return (value as Record<string, unknown>)[name];
}

function rangeEntries(value: unknown): [unknown, unknown][] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.map((item, index) => [index, item]);
  if (typeof value === "number") return Array.from({ length: value }, (_, index) => [index, index]);
  if (typeof value === "object") {
    const map = value as Record<string, unknown>;
    return Object.keys(map)
      .sort()
      .map((key) => [key, map[key]]);
  }
  throw new TemplateError(`template: :1: range can't iterate over ${formatValue(value)}`);
}
