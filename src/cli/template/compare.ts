/** eq, lt and their kin: basic types of one kind; whole numbers whether they have a sign or not. */
import { CallError } from "./error.ts";
import { printValue } from "./print.ts";
import type { Kind, Value } from "./types.ts";

const basic: ReadonlySet<Kind> = new Set<Kind>(["bool", "int", "uint", "float", "complex", "string"]);

function basicKind(value: Value | undefined): Kind | undefined {
  return value !== undefined && basic.has(value.type.kind) ? value.type.kind : undefined;
}

const isWhole = (kind: Kind | undefined) => kind === "int" || kind === "uint";

/** Is the first one of the others? @throws CallError. */
export function equals(first: Value | undefined, others: (Value | undefined)[]): boolean {
  if (others.length === 0) throw new CallError("missing argument for comparison");
  return others.some((other) => areEqual(first, other));
}

function areEqual(a: Value | undefined, b: Value | undefined): boolean {
  const [kindA, kindB] = [basicKind(a), basicKind(b)];
  if (kindA !== kindB && !(isWhole(kindA) && isWhole(kindB))) {
    if (a !== undefined && b !== undefined) throw new CallError("incompatible types for comparison");
    return false;
  }
  if (isWhole(kindA)) return BigInt(a!.data as number) === BigInt(b!.data as number);
  if (kindA === "complex") return JSON.stringify(a!.data) === JSON.stringify(b!.data);
  if (kindA !== undefined) return a!.data === b!.data;
  if (a !== undefined && b !== undefined && a.type.kind !== b.type.kind) {
    const [left, right] = [printValue(a, "s"), printValue(b)];
    throw new CallError(`non-comparable types ${left}: ${a.type.name}, ${b.type.name}: ${right}`);
  }
  const [isNilA, isNilB] = [isNil(a), isNil(b)];
  if (isNilA || isNilB) return isNilA && isNilB;
  if (b!.type.kind === "map" || b!.type.kind === "slice") {
    throw new CallError(`non-comparable type ${printValue(b, "s")}: ${b!.type.name}`);
  }
  return a!.type.name === b!.type.name && a!.data === b!.data;
}

function isNil(value: Value | undefined): boolean {
  return value === undefined || value.data === null;
}

/** @returns below zero when the first is the lesser. @throws CallError. */
export function compareValues(a: Value | undefined, b: Value | undefined): number {
  const [kindA, kindB] = [basicKind(a), basicKind(b)];
  if (kindA === undefined || kindB === undefined) throw new CallError("invalid type for comparison");
  if (isWhole(kindA) && isWhole(kindB)) {
    const [left, right] = [BigInt(a!.data as number), BigInt(b!.data as number)];
    return left < right ? -1 : left > right ? 1 : 0;
  }
  if (kindA !== kindB) throw new CallError("incompatible types for comparison");
  if (kindA === "float") return Number(a!.data) - Number(b!.data);
  if (kindA !== "string") throw new CallError("invalid type for comparison");
  return Buffer.compare(Buffer.from(a!.data as string), Buffer.from(b!.data as string));
}
