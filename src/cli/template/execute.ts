import { builtins, printable } from "./builtins.ts";
import { Calls, missing } from "./calls.ts";
import { dockerFunctions } from "./docker-functions.ts";
import { TemplateError } from "./error.ts";
import { type Parsed, parseTemplate } from "./parse.ts";
import { printValue } from "./print.ts";
import type { ActionNode, BranchNode, Node, PipelineNode, TemplateNode } from "./tree.ts";
import { isTrue } from "./truth.ts";
import { concrete, entriesOf, type GoFunction, indirect, intType, part, plainValue, Value } from "./types.ts";

/** A template, ready to be applied to any number of objects. */
export interface Template {
  /**
   * @param data a Value, or what JSON.parse may give.
   * @throws TemplateError
   */
  execute(data: unknown, options?: ExecuteOptions): string;
}

interface ExecuteOptions {
  /** A name that a map does not have is a mistake, where it is else no value. */
  missingIsError?: boolean;
  /** In place of those of the same names. */
  functions?: Record<string, GoFunction>;
  /** Gets what was written before a mistake, in place of the mistake. */
  ignoreErrors?: boolean;
}

/**
 * Compiles the value of `--format`.
 * @param name what errors call it: `template: version:1: …`.
 * @throws TemplateError for wrong syntax.
 */
export function compileTemplate(source: string, name = ""): Template {
  const functions = { ...builtins, ...dockerFunctions };
  const parsed = bounded(name, "parse", () => parseTemplate(source, name, (word) => Object.hasOwn(functions, word)));
  return {
    execute: (data, options = {}) => {
      const value = data instanceof Value ? data : plainValue(data);
      const scope = new Scope(parsed, { ...functions, ...options.functions }, options.missingIsError ?? false, value);
      try {
        bounded(name, "execute", () => scope.run(parsed.root, value));
      } catch (error) {
        if (!(options.ignoreErrors && error instanceof TemplateError)) throw error;
      }
      return scope.output.text;
    },
  };
}

/** What is nested deeper than JavaScript's stack, or makes a longer text than it can hold, is a mistake of the template's. */
function bounded<T>(name: string, during: TemplateError["during"], work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const what = /stack/.test(error.message) ? "it is nested too deep" : "its text is too long";
    throw new TemplateError(`template: ${name}: ${what}`, during);
  }
}

type Flow = "break" | "continue" | undefined;

/** Templates within templates may go that deep; where JavaScript's stack ends is far behind. */
const deepest = 500;

class Scope extends Calls {
  readonly output: { text: string };
  readonly #parsed: Parsed;
  readonly #functions: Record<string, GoFunction>;
  readonly #depth: number;
  readonly #missingIsError: boolean;
  /** Innermost last; a block's variables are dropped at its end. */
  readonly #variables: { name: string; value: Value | undefined }[];

  constructor(
    parsed: Parsed,
    functions: Record<string, GoFunction>,
    missingIsError: boolean,
    data: Value | undefined,
    outer?: { name: string; depth: number; output: { text: string } },
  ) {
    const name = outer?.name ?? parsed.name;
    super(parsed, name, missingIsError);
    this.#missingIsError = missingIsError;
    this.#parsed = parsed;
    this.#functions = functions;
    this.#depth = outer?.depth ?? 0;
    this.output = outer?.output ?? { text: "" };
    this.#variables = [{ name: "$", value: data }];
  }

  run(nodes: Node[], dot: Value | undefined): Flow {
    for (const node of nodes) {
      const flow = this.#run(node, dot);
      if (flow !== undefined) return flow;
    }
    return undefined;
  }

  #run(node: Node, dot: Value | undefined): Flow {
    this.at(node);
    switch (node.kind) {
      case "text":
        this.output.text += node.text;
        return undefined;
      case "action":
        this.#action(node, dot);
        return undefined;
      case "template":
        this.#template(node, dot);
        return undefined;
      case "break":
      case "continue":
        return node.kind;
      default:
        return this.#block(() => (node.kind === "range" ? this.#range(node, dot) : this.#branch(node, dot)));
    }
  }

  #action(node: ActionNode, dot: Value | undefined): void {
    const value = this.pipeline(node.pipeline, dot);
    if (node.pipeline.variables.length > 0) return;
    this.output.text += value === undefined ? "<no value>" : printValue(printable(value));
  }

  #template(node: TemplateNode, dot: Value | undefined): void {
    const nodes = this.#parsed.defined.get(node.name);
    if (nodes === undefined) throw this.error(`template ${JSON.stringify(node.name)} not defined`);
    if (this.#depth === deepest) throw this.error(`exceeded maximum template depth (${deepest})`);
    const value = node.pipeline && this.pipeline(node.pipeline, dot);
    const outer = { name: node.name, depth: this.#depth + 1, output: this.output };
    new Scope(this.#parsed, this.#functions, this.#missingIsError, value, outer).run(nodes, value);
  }

  #branch(node: BranchNode, dot: Value | undefined): Flow {
    const value = this.pipeline(node.pipeline, dot);
    if (!isTrue(value)) return node.otherwise && this.run(node.otherwise, dot);
    return this.run(node.body, node.kind === "with" ? value : dot);
  }

  #range(node: BranchNode, dot: Value | undefined): Flow {
    const { variables, isAssignment } = node.pipeline;
    const evaluated = this.pipeline({ ...node.pipeline, variables: [] }, dot);
    let isEmpty = true;
    for (const [key, item] of this.#entries(evaluated, variables.length)) {
      isEmpty = false;
      const flow = this.#block(() => {
        const values = variables.length === 1 ? [item] : [key, item];
        variables.forEach((name, index) => {
          if (isAssignment) this.variable(name).value = values[index];
          else this.#variables.push({ name, value: values[index] });
        });
        return this.run(node.body, item);
      });
      if (flow === "break") break;
    }
    return isEmpty && node.otherwise ? this.run(node.otherwise, dot) : undefined;
  }

  #entries(evaluated: Value | undefined, names: number): Iterable<[Value, Value]> {
    if (evaluated === undefined) return [];
    const { value } = indirect(evaluated);
    switch (value.type.kind) {
      case "slice":
      case "array":
        return ((value.data ?? []) as unknown[]).map((item, index) => [
          new Value(intType, index),
          part(value.type.elem!, item),
        ]);
      case "map":
        return entriesOf(value);
      case "int":
      case "uint": {
        if (names > 1) throw this.error(`can't use ${printValue(value)} to iterate over more than one variable`);
        return countTo(value);
      }
      default:
        throw this.error(`range can't iterate over ${printValue(value)}`);
    }
  }

  #block(body: () => Flow): Flow {
    const depth = this.#variables.length;
    const flow = body();
    this.#variables.length = depth;
    return flow;
  }

  override pipeline(pipeline: PipelineNode, dot: Value | undefined): Value | undefined {
    this.at(pipeline);
    let value: Value | undefined;
    pipeline.commands.forEach((command, index) => {
      value = concrete(this.command(command, dot, index === 0 ? missing : value));
    });
    for (const name of pipeline.variables) {
      if (pipeline.isAssignment) this.variable(name).value = value;
      else this.#variables.push({ name, value });
    }
    return value;
  }

  override variable(name: string): { value: Value | undefined } {
    const found = this.#variables.findLast((variable) => variable.name === name);
    if (found === undefined) throw this.error(`undefined variable: ${name}`);
    return found;
  }

  protected override function(name: string): GoFunction {
    return this.#functions[name]!;
  }
}

function* countTo({ type, data }: Value): Iterable<[Value, Value]> {
  for (let number = 0; number < Number(data); number++) {
    const value = new Value(type, number);
    yield [value, value];
  }
}
