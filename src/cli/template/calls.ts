import { CallError, TemplateError } from "./error.ts";
import type { Parsed } from "./parse.ts";
import { type CommandNode, type Constant, type Node, nodeText, type Operand, type PipelineNode } from "./tree.ts";
import { isTrue } from "./truth.ts";
import {
  boolType,
  complexType,
  concrete,
  fieldData,
  findField,
  floatType,
  type GoFunction,
  type GoType,
  indirect,
  intType,
  isAssignable,
  type Method,
  part,
  pointee,
  stringType,
  Value,
  valueType,
  zeroOf,
} from "./types.ts";

/** There is no value from an earlier command of the pipeline. */
export const missing = Symbol("missing");

type Final = Value | undefined | typeof missing;
type AnyNode = Node | CommandNode | Operand;

/** How commands are evaluated: fields, methods and functions, with their arguments checked as Go does. */
export abstract class Calls {
  readonly #source: string;
  readonly #whole: string;
  readonly #templateName: string;
  readonly #isStrict: boolean;
  /** What is being looked at, for errors. */
  #node: AnyNode | undefined;

  constructor({ source, name }: Parsed, templateName: string, missingIsError: boolean) {
    this.#source = source;
    this.#whole = name;
    this.#templateName = templateName;
    this.#isStrict = missingIsError;
  }

  abstract pipeline(pipeline: PipelineNode, dot: Value | undefined): Value | undefined;
  abstract variable(name: string): { value: Value | undefined };
  protected abstract function(name: string): GoFunction;

  protected at(node: AnyNode): void {
    this.#node = node;
  }

  protected error(reason: string): TemplateError {
    const before = this.#source.slice(0, this.#node!.at);
    const line = before.lastIndexOf("\n") + 1;
    const place = `${before.split("\n").length}:${Buffer.byteLength(before.slice(line))}`;
    const where = `executing ${JSON.stringify(this.#templateName)} at <${nodeText(this.#node!)}>`;
    return new TemplateError(`template: ${this.#whole}:${place}: ${where}: ${reason}`, "execute");
  }

  protected command(command: CommandNode, dot: Value | undefined, final: Final): Value | undefined {
    const [first, ...rest] = command.operands as [Operand, ...Operand[]];
    switch (first.kind) {
      case "field":
        this.at(first);
        return this.#chain(dot, first.names, first, dot, rest, final);
      case "chain": {
        this.at(first);
        return this.#chain(this.#operand(first.of, dot), first.fields, first, dot, rest, final);
      }
      case "variable": {
        this.at(first);
        const { value } = this.variable(first.name);
        if (first.fields.length > 0) return this.#chain(value, first.fields, first, dot, rest, final);
        this.#refuseArguments(first, rest, final);
        return value;
      }
      case "identifier":
        return this.#callFunction(first.name, first, command, dot, rest, final);
      case "pipeline":
        this.#refuseArguments(first, rest, final);
        return this.pipeline(first, dot);
      default:
        this.at(first);
        this.#refuseArguments(first, rest, final);
        if (first.kind === "nil") throw this.error("nil is not a command");
        return this.#operand(first, dot);
    }
  }

  #refuseArguments(operand: Operand, rest: Operand[], final: Final): void {
    if (rest.length === 0 && final === missing) return;
    const text = operand.kind === "pipeline" ? `(${nodeText(operand)})` : nodeText(operand);
    throw this.error(`can't give argument to non-function ${text}`);
  }

  /** The value of an operand that is given no arguments. */
  #operand(operand: Operand, dot: Value | undefined): Value | undefined {
    this.at(operand);
    switch (operand.kind) {
      case "dot":
        return dot;
      case "nil":
        return undefined;
      case "bool":
        return new Value(boolType, operand.value);
      case "string":
        return new Value(stringType, operand.value);
      case "number":
        return this.#constant(operand.value, operand.text);
      case "variable":
        return this.#chain(this.variable(operand.name).value, operand.fields, operand, dot, [], missing);
      case "field":
        return this.#chain(dot, operand.names, operand, dot, [], missing);
      case "chain":
        return this.#chain(this.#operand(operand.of, dot), operand.fields, operand, dot, [], missing);
      case "identifier":
        return this.#callFunction(operand.name, operand, operand, dot, [], missing);
      case "pipeline":
        return this.pipeline(operand, dot);
    }
  }

  #constant(constant: Constant, text: string): Value {
    if (constant.type === "complex") return new Value(complexType, constant);
    if (constant.type === "float") return new Value(floatType, constant.value);
    if (constant.value > 9_223_372_036_854_775_807n) throw this.error(`${text} overflows int`);
    const isSafe = Number.isSafeInteger(Number(constant.value));
    return new Value(intType, isSafe ? Number(constant.value) : constant.value);
  }

  /** `.A.B.C`: what follows as arguments is the last one's. */
  #chain(
    start: Value | undefined,
    names: string[],
    node: Operand,
    dot: Value | undefined,
    rest: Operand[],
    final: Final,
  ): Value | undefined {
    let value = start;
    names.forEach((name, index) => {
      const isLast = index === names.length - 1;
      value = this.#field(value, name, node, dot, isLast ? rest : [], isLast ? final : missing);
    });
    return value;
  }

  #field(
    receiver: Value | undefined,
    name: string,
    node: Operand,
    dot: Value | undefined,
    rest: Operand[],
    final: Final,
  ): Value | undefined {
    if (receiver === undefined) {
      if (this.#isStrict) throw this.error(`nil data; no entry for key ${JSON.stringify(name)}`);
      return undefined;
    }
    const typeName = receiver.type.name;
    const { value, isNil } = indirect(receiver);
    if (isNil && value.type.kind === "interface") throw this.error(`nil pointer evaluating ${typeName}.${name}`);
    const pointed = value.type.kind === "pointer" ? value.type.elem! : value.type;
    const method = pointed.traits.methods?.[name];
    if (method !== undefined) return this.#callMethod(method, value, name, node, dot, rest, final);
    const hasArguments = rest.length > 0 || final !== missing;
    if (isNil) {
      if (pointed.kind !== "struct" || findField(pointed, name)) {
        throw this.error(`nil pointer evaluating ${typeName}.${name}`);
      }
    } else if (value.type.kind === "struct") {
      const found = this.#structField(value, name);
      if (found && hasArguments) throw this.error(`${name} has arguments but cannot be invoked as function`);
      if (found) return found;
    } else if (value.type.kind === "map" && isAssignable(stringType, value.type.key!)) {
      if (hasArguments) throw this.error(`${name} is not a method but has arguments`);
      const map = (value.data ?? {}) as Record<string, unknown>;
      if (Object.hasOwn(map, name)) return part(value.type.elem!, map[name]);
      if (this.#isStrict) throw this.error(`map has no entry for key ${JSON.stringify(name)}`);
      return undefined;
    }
    throw this.error(`can't evaluate field ${name} in type ${typeName}`);
  }

  /** Also of what is embedded: its data is that of the whole. */
  #structField({ type, data }: Value, name: string): Value | undefined {
    const field = findField(type, name);
    return field && new Value(field.type, fieldData(field, data));
  }

  #callMethod(
    method: Method,
    receiver: Value,
    name: string,
    node: Operand,
    dot: Value | undefined,
    rest: Operand[],
    final: Final,
  ): Value | undefined {
    const call = (args: (Value | undefined)[]) => method.call(receiver.data, args as Value[]);
    return this.#call({ parameters: method.parameters, call }, name, node, dot, rest, final);
  }

  #callFunction(
    name: string,
    operand: Operand,
    node: AnyNode,
    dot: Value | undefined,
    rest: Operand[],
    final: Final,
  ): Value | undefined {
    this.at(operand);
    const called = this.function(name);
    if (name === "call") {
      const callee = rest[0] === undefined ? textOf(final) : nodeText(rest[0]);
      const call = (args: (Value | undefined)[]) => called.call([new Value(stringType, callee), ...args]);
      return this.#call({ ...called, call }, name, node, dot, rest, final);
    }
    return this.#call(called, name, node, dot, rest, final);
  }

  #call(
    called: GoFunction,
    name: string,
    node: AnyNode,
    dot: Value | undefined,
    rest: Operand[],
    final: Final,
  ): Value | undefined {
    const { parameters, rest: restType } = called;
    const given = rest.length + (final === missing ? 0 : 1);
    if (restType ? given < parameters.length : given !== parameters.length) {
      const want = restType ? `at least ${parameters.length} got ${rest.length}` : `${parameters.length} got ${given}`;
      throw this.error(`wrong number of args for ${name}: want ${want}`);
    }
    const typeAt = (index: number) => parameters[index] ?? restType!;
    if (name === "and" || name === "or") return this.#decide(name, dot, rest, final);
    const args = rest.map((operand, index) => this.#argument(operand, typeAt(index), dot));
    if (final !== missing) args.push(this.#fit(final, typeAt(rest.length)));
    try {
      return called.call(args);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      this.at(node);
      throw this.error(`error calling ${name}: ${error.message}`);
    }
  }

  /** No argument behind the one that decides is evaluated. */
  #decide(name: "and" | "or", dot: Value | undefined, rest: Operand[], final: Final): Value | undefined {
    let value: Value | undefined;
    for (const operand of rest) {
      value = this.#argument(operand, valueType, dot);
      if (isTrue(value) === (name === "or")) return value;
    }
    return final === missing ? value : concrete(final);
  }

  #argument(operand: Operand, type: GoType, dot: Value | undefined): Value | undefined {
    this.at(operand);
    switch (operand.kind) {
      case "nil":
        if (!canBeNil(type)) throw this.error(`cannot assign nil to ${type.name}`);
        return type.kind === "interface" || type === valueType ? undefined : zeroOf(type);
      case "bool":
      case "string":
      case "number":
        return this.#constantArgument(operand, type);
      default:
        return this.#fit(this.#operand(operand, dot), type);
    }
  }

  #constantArgument(operand: Extract<Operand, { kind: "bool" | "string" | "number" }>, type: GoType): Value {
    if (type.kind === "interface" || type === valueType) return this.#operand(operand, undefined)!;
    const expected = { bool: "bool", string: "string", int: "integer", uint: "unsigned integer", float: "float" };
    const word = (expected as Partial<Record<GoType["kind"], string>>)[type.kind];
    if (word === undefined) throw this.error(`can't handle ${nodeText(operand)} for arg of type ${type.name}`);
    const fits = operand.kind === "number" ? fitsNumber(operand.value, type) : operand.kind === type.kind;
    if (!fits) throw this.error(`expected ${word}; found ${nodeText(operand)}`);
    if (operand.kind !== "number") return new Value(type, operand.value);
    return new Value(type, Number((operand.value as { value: number | bigint }).value));
  }

  /** A value as a parameter takes it. */
  #fit(value: Value | undefined, type: GoType): Value | undefined {
    if (value === undefined) {
      if (!canBeNil(type)) throw this.error(`invalid value; expected ${type.name}`);
      return type.kind === "interface" || type === valueType ? undefined : zeroOf(type);
    }
    if (type.kind === "interface" || type === valueType) return concrete(value);
    const inside = concrete(value);
    if (inside === undefined) throw this.error(`wrong type for value; expected ${type.name}; got ${value.type.name}`);
    if (isAssignable(inside.type, type)) return inside;
    if (inside.type.kind === "pointer" && isAssignable(inside.type.elem!, type)) {
      const pointed = pointee(inside);
      if (pointed === undefined) throw this.error(`dereference of nil pointer of type ${type.name}`);
      return pointed;
    }
    throw this.error(`wrong type for value; expected ${type.name}; got ${inside.type.name}`);
  }
}

/** A whole number may be written as `1e6`. */
function fitsNumber(constant: Constant, { kind }: GoType): boolean {
  if (kind === "float") return constant.type !== "complex";
  if (kind !== "int" && kind !== "uint") return false;
  return constant.type === "int" || (constant.type === "float" && Number.isInteger(constant.value));
}

/** What reflect.Value.String says of it: the text of a string, of all else the type. */
function textOf(final: Final): string {
  if (final === missing || final === undefined) return "<invalid Value>";
  return typeof final.data === "string" ? final.data : `<${final.type.name} Value>`;
}

function canBeNil(type: GoType): boolean {
  return ["interface", "map", "pointer", "slice"].includes(type.kind) || type === valueType;
}
