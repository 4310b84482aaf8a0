/** What a record's arguments may be. Each kind knows its value in memory (assemble.ts) and its words (explain.ts). */
import type { ConstantNames } from "../constants/names.ts";

/** A NUL-terminated string in the plan's memory. */
export interface Text {
  readonly kind: "text";
  readonly text: string;
}

/** Bits by name. */
export interface Flags {
  readonly kind: "flags";
  readonly value: number | bigint;
  readonly names: ConstantNames;
}

/** One of several values by name. */
export interface Constant {
  readonly kind: "constant";
  readonly value: number;
  readonly names: ConstantNames;
}

/** A number that people read in octal: permissions. */
export interface Octal {
  readonly kind: "octal";
  readonly value: number;
}

/** A descriptor of the parent, which it names when it spawns the plan. */
export interface InheritedDescriptor {
  readonly kind: "descriptor";
  readonly name: string;
}

/** A path that ends in the number of a descriptor of the parent, such as `self/fd/7` below a procfs. */
export interface DescriptorPath {
  readonly kind: "descriptorPath";
  readonly prefix: string;
  readonly name: string;
}

/** Bytes in the plan's memory; `shown` stands for them in words. */
export interface Bytes {
  readonly kind: "bytes";
  readonly data: Uint8Array;
  readonly shown: string;
}

/**
 * 64-bit words in the plan's memory, each of which is an argument: a structure whose fields are words, or an array of
 * pointers. `fields` names the words for people.
 */
export interface Words {
  readonly kind: "words";
  readonly items: readonly Argument[];
  readonly fields: readonly string[] | undefined;
  /** Texts of the form NAME=value whose values are nobody's business. */
  readonly secret?: true;
}

/** Memory that a call writes and later records or the parent read. */
export interface Memory {
  readonly kind: "memory";
  readonly name: string;
  readonly size: number;
}

/** A place inside of a Memory. */
export interface MemoryAt {
  readonly kind: "memoryAt";
  readonly memory: Memory;
  readonly offset: number;
}

/** The result of an earlier record. A record that was skipped or has failed leaves -1, which is no descriptor. */
export interface Ref {
  readonly kind: "result";
  readonly record: number;
  /** What the result is, for people; undefined where it is known by its number alone. */
  readonly name: string | undefined;
}

/**
 * Where the answer of an earlier record lies, for records that compare or load it: a negative one too, as `result`
 * never has it.
 */
export interface Answer {
  readonly kind: "answer";
  readonly of: Ref;
}

/** A word whose lower half is a result of 32 bits, such as a descriptor in a structure, and whose upper half is given. */
export interface HalfRef {
  readonly kind: "half";
  readonly low: Ref;
  readonly high: number;
}

export type Value =
  | Text
  | Flags
  | Constant
  | Octal
  | InheritedDescriptor
  | DescriptorPath
  | Bytes
  | Words
  | Memory
  | MemoryAt
  | Ref
  | Answer
  | HalfRef
  /** A null pointer. */
  | null;
export type Argument = number | bigint | Value;

/** @throws TypeError for a text with a NUL, which the kernel would see cut off. */
export function str(text: string): Text {
  if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)} contains a NUL`);
  return { kind: "text", text };
}

export function flags(value: number | bigint, names: ConstantNames): Flags {
  return { kind: "flags", value, names };
}

export function constant(value: number, names: ConstantNames): Constant {
  return { kind: "constant", value, names };
}

export function octal(value: number): Octal {
  return { kind: "octal", value };
}

export function bytes(data: Uint8Array, shown: string): Bytes {
  return { kind: "bytes", data, shown };
}

/** A structure of 64-bit fields, in the order in which they are written here. */
export function struct(fields: Readonly<Record<string, Argument>>): Words {
  return { kind: "words", items: Object.values(fields), fields: Object.keys(fields) };
}

/** An array of pointers to strings that ends with a null pointer, as execve(2) takes it. */
export function strings(texts: readonly string[]): Words {
  return { kind: "words", items: [...texts.map(str), null], fields: undefined };
}

/** The environment of a program, as execve(2) takes it: the values of its variables are shown only on demand. */
export function environment(texts: readonly string[]): Words {
  return { ...strings(texts), secret: true };
}

export function answer(of: Ref): Answer {
  return { kind: "answer", of };
}

export function half(low: Ref, high: number): HalfRef {
  return { kind: "half", low, high };
}

export function memory(size: number, name: string): Memory {
  return { kind: "memory", size, name };
}

export function at(place: Memory, offset: number): MemoryAt {
  return { kind: "memoryAt", memory: place, offset };
}
