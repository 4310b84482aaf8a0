/**
 * A plan as bytes for the interpreter.
 *
 * Written for its first run: a runtime assembles one plan in its life, so the code never gets warm. Numbers go into
 * one array of 32-bit words, and all texts are encoded together at the end.
 */
import { SYS } from "../constants/syscalls.ts";
import { type ErrnoName, errnoNumber } from "../errno.ts";
import { byteLength, encodeText } from "../text.ts";
import {
  type Label,
  operation,
  type Plan,
  type PlanRecord,
  planBase,
  planSizeMax,
  recordFlags,
  recordSize,
} from "./records.ts";
import type { Argument, Memory, Value } from "./values.ts";

export interface AssembledPlan {
  /** From the start of the memory: the records, and what they point to except texts. */
  readonly words: Uint8Array;
  /** NUL-terminated, from `textOffset` on. */
  readonly texts: Uint8Array;
  readonly textOffset: number;
  /** Bytes of memory in all. */
  readonly size: number;
  /** Where the memory that calls write lies, in bytes from the start. */
  readonly memories: ReadonlyMap<Memory, number>;
}

/** Where texts begin. The memory between is never touched, and a memfd has no pages there. */
const planTextOffset = planSizeMax / 4;

/** 32-bit words of a record, and where its fields are (records.ts) in words. */
const recordWords = recordSize / 4;
const resultWord = 14;
const copiesWord = 16;

/** Lays a plan out at `base`. `descriptors` are the numbers of the parent's descriptors by their names in the plan. */
export function assemble(
  plan: Pick<Plan, "records">,
  descriptors: Readonly<Record<string, number>>,
  base = planBase,
  textOffset = planTextOffset,
): AssembledPlan {
  const assembler = new Assembler(plan.records.length, descriptors, base, textOffset);
  let index = 0;
  for (const record of plan.records) assembler.addRecord(record, index++);
  return assembler.finish();
}

/** Writes all of it into the memory that it was assembled for. */
export function copyPlan(assembled: AssembledPlan, memory: Uint8Array): void {
  memory.set(assembled.words);
  memory.set(assembled.texts, assembled.textOffset);
}

class Assembler {
  private readonly base: number;
  private readonly textOffset: number;
  private readonly descriptors: Readonly<Record<string, number>>;
  private words: Int32Array;
  /** Index of the first free word. */
  private top: number;
  private text = "";
  private textLength = 0;
  private readonly texts = new Map<string, number>();
  private readonly objects = new Map<object, number>();
  private readonly memories = new Map<Memory, number>();
  /** By the index of the record whose result is copied: the addresses, with bit 0 set for 64 bits. */
  private readonly copies: (number[] | undefined)[] = [];
  /** Records whose result goes where another record's goes. */
  private readonly shared: [record: number, target: number][] = [];

  constructor(records: number, descriptors: Readonly<Record<string, number>>, base: number, textOffset: number) {
    this.base = base;
    this.textOffset = textOffset;
    this.descriptors = descriptors;
    this.top = records * recordWords;
    this.words = new Int32Array(this.top + 16384);
  }

  addRecord(record: PlanRecord, index: number): void {
    const { words } = this;
    const start = index * recordWords;
    const { call, args, ignore, retry } = record;
    words[start] = call === "select" || call === "load" ? operation[call] : SYS[call];
    if (record.fork) words[start + 1] = recordFlags.fork;
    if (record.handOver) words[start + 1]! |= recordFlags.handOver;
    for (let position = 0; position < args.length; position++) {
      const argument = args[position]!;
      const place = start + 2 + position * 2;
      // Most are small numbers.
      if (typeof argument === "number" && argument >= 0 && argument <= 0xffffffff) this.words[place] = argument;
      else this.put(place, argument);
    }
    // notRun, whose lower half is 0. The array may have grown.
    const final = this.words;
    final[start + resultWord + 1] = 0x80000000;
    if (record.into !== undefined) this.shared.push([index, record.into.record]);
    if (ignore.length > 0) {
      final[start + 18] = errnos(ignore, 0);
      final[start + 19] = errnos(ignore, 2);
    }
    final[start + 20] = record.next === undefined ? recordSize : distance(record.next, index);
    if (record.onZero !== undefined) final[start + 21] = distance(record.onZero, index);
    final[start + 22] = distance(record.onError, index);
    if (retry === undefined) return;
    final[start + 23] = retry.times;
    final[start + 24] = errnos(retry.errnos, 0);
  }

  finish(): AssembledPlan {
    const lists: number[] = [];
    this.copies.forEach((addresses, record) => {
      const list = this.allocate((addresses!.length + 1) * 8);
      addresses!.forEach((address, position) => {
        this.putNumber(list + position * 2, address);
      });
      lists[record] = this.base + list * 4;
      this.putNumber(record * recordWords + copiesWord, lists[record]!);
    });
    for (const [record, target] of this.shared) {
      this.putNumber(record * recordWords + copiesWord, lists[target] ?? 0);
    }
    const size = this.textOffset + this.textLength;
    if (this.top * 4 > this.textOffset || size > planSizeMax) {
      throw new RangeError(`a plan of ${this.top * 4 + this.textLength} bytes is too large`);
    }
    const words = new Uint8Array(this.words.buffer, 0, this.top * 4);
    return { words, texts: encodeText(this.text), textOffset: this.textOffset, size, memories: this.memories };
  }

  private put(place: number, argument: Argument): void {
    if (typeof argument === "number") this.putNumber(place, argument);
    else if (argument !== null) {
      if (typeof argument === "bigint") this.putBig(place, argument);
      else this.putValue(place, argument);
    }
  }

  private putValue(place: number, value: Exclude<Value, null>): void {
    switch (value.kind) {
      case "text":
        this.putNumber(place, this.textAddress(value.text));
        return;
      case "flags":
        this.put(place, value.value);
        return;
      case "constant":
      case "octal":
        this.putNumber(place, value.value);
        return;
      case "descriptor":
        this.putNumber(place, this.descriptor(value.name));
        return;
      case "descriptorPath":
        this.putNumber(place, this.textAddress(`${value.prefix}${this.descriptor(value.name)}`));
        return;
      case "result":
        this.words[place] = -1;
        this.words[place + 1] = -1;
        this.copy(value.record, this.base + place * 4 + 1);
        return;
      case "answer":
        this.putNumber(place, this.base + value.of.record * recordSize + resultWord * 4);
        return;
      case "half":
        this.words[place] = -1;
        this.words[place + 1] = value.high;
        this.copy(value.low.record, this.base + place * 4);
        return;
      case "memoryAt":
        this.putNumber(place, this.address(value.memory) + value.offset);
        return;
      default:
        this.putNumber(place, this.address(value));
    }
  }

  private copy(record: number, address: number): void {
    const addresses = this.copies[record];
    if (addresses === undefined) this.copies[record] = [address];
    else addresses.push(address);
  }

  /** Where a value's memory is; it is laid out at its first use. */
  private address(value: Extract<Value, { kind: "bytes" | "words" | "memory" }>): number {
    const known = this.objects.get(value);
    if (known !== undefined) return known;
    let place: number;
    if (value.kind === "words") {
      place = this.allocate(value.items.length * 8);
      let item = place;
      for (const argument of value.items) {
        this.put(item, argument);
        item += 2;
      }
    } else if (value.kind === "bytes") {
      place = this.allocate(value.data.length);
      new Uint8Array(this.words.buffer).set(value.data, place * 4);
    } else {
      place = this.allocate(value.size);
      this.memories.set(value, place * 4);
    }
    const address = this.base + place * 4;
    this.objects.set(value, address);
    return address;
  }

  private textAddress(text: string): number {
    const known = this.texts.get(text);
    if (known !== undefined) return known;
    const address = this.base + this.textOffset + this.textLength;
    this.texts.set(text, address);
    this.text += `${text}\0`;
    this.textLength += byteLength(text) + 1;
    return address;
  }

  private descriptor(name: string): number {
    const number = this.descriptors[name];
    if (number === undefined) throw new Error(`the plan uses the descriptor ${name}, which was not given`);
    return number;
  }

  /** Takes that many bytes, rounded up to 8. @returns the index of the first word. */
  private allocate(size: number): number {
    const place = this.top;
    this.top = place + ((size + 7) >> 3) * 2;
    if (this.top > this.words.length) {
      const larger = new Int32Array(this.top * 2);
      larger.set(this.words);
      this.words = larger;
    }
    return place;
  }

  /** A 64-bit word; negative numbers in two's complement. */
  private putNumber(place: number, value: number): void {
    this.words[place] = value;
    if (value >= 0 && value <= 0xffffffff) return;
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no integer that a number holds exactly`);
    this.words[place + 1] = Math.floor(value / 2 ** 32);
  }

  private putBig(place: number, value: bigint): void {
    this.words[place] = Number(BigInt.asIntN(32, value));
    this.words[place + 1] = Number(BigInt.asIntN(32, value >> 32n));
  }
}

/** Two errnos of a list as 16 bits each. */
function errnos(names: readonly ErrnoName[], from: number): number {
  const [low, high] = [names[from], names[from + 1]];
  return (low === undefined ? 0 : errnoNumber(low)) | ((high === undefined ? 0 : errnoNumber(high)) << 16);
}

/** Bytes from a record to a label; negative for a jump back. */
function distance(label: Label, index: number): number {
  return (label.position - index) * recordSize;
}
