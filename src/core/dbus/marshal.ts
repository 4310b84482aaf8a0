/** Values to bytes and back. D-Bus specification, "Marshaling (Wire Format)". */
import { EngineError } from "../errors.ts";
import {
  alignments,
  type DbusType,
  type DbusValue,
  formatType,
  isObjectPath,
  parseSignature,
  parseSingleType,
  Variant,
} from "./types.ts";

/** Of the specification, in bytes. */
const arrayBytesMax = 2 ** 26;
/** Variants nest without showing it in a signature; 64 is what the specification allows altogether. */
const depthMax = 64;

const integers = {
  y: [0n, 0xffn],
  n: [-0x8000n, 0x7fffn],
  q: [0n, 0xffffn],
  i: [-0x8000_0000n, 0x7fff_ffffn],
  u: [0n, 0xffff_ffffn],
  h: [0n, 0xffff_ffffn],
  x: [-(2n ** 63n), 2n ** 63n - 1n],
  t: [0n, 2n ** 64n - 1n],
} as const;

/**
 * The bytes of values of that signature, little-endian, as they stand at an offset that is a multiple of 8.
 * @throws EngineError invalid_argument for a value that is not of its type.
 */
export function marshal(signature: string, values: readonly DbusValue[]): Uint8Array {
  const types = parseSignature(signature);
  if (types.length !== values.length) {
    throw new EngineError("invalid_argument", `D-Bus: ${values.length} values for the signature "${signature}"`);
  }
  const writer = new Writer();
  types.forEach((type, index) => {
    writer.write(type, values[index]!);
  });
  return writer.bytes();
}

class Writer {
  #buffer = Buffer.alloc(256);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  write(type: DbusType, value: DbusValue): void {
    switch (type.code) {
      case "b":
        if (typeof value !== "boolean") throw mismatch(type, value);
        this.#integer("u", value ? 1n : 0n);
        return;
      case "d":
        if (typeof value !== "number") throw mismatch(type, value);
        this.#double(value);
        return;
      case "s":
      case "o":
      case "g":
        this.#text(type, value);
        return;
      case "v": {
        if (!(value instanceof Variant)) throw mismatch(type, value);
        this.#text({ code: "g" }, value.signature);
        this.write(parseSingleType(value.signature), value.value);
        return;
      }
      case "a":
        this.#array(type.element, value);
        return;
      case "(":
        if (!Array.isArray(value) || value.length !== type.fields.length) throw mismatch(type, value);
        this.#align(8);
        type.fields.forEach((field, index) => {
          this.write(field, value[index]!);
        });
        return;
      case "{":
        throw mismatch(type, value);
      default: {
        if (typeof value !== "bigint" && !(typeof value === "number" && Number.isInteger(value))) {
          throw mismatch(type, value);
        }
        const [min, max] = integers[type.code];
        if (value < min || value > max) throw mismatch(type, value);
        this.#integer(type.code, BigInt(value));
      }
    }
  }

  #double(value: number): void {
    this.#align(8);
    // In two steps here and elsewhere: taking room may replace the buffer.
    const at = this.#take(8);
    this.#buffer.writeDoubleLE(value, at);
  }

  #integer(code: keyof typeof integers, value: bigint): void {
    const size = alignments[code];
    this.#align(size);
    const at = this.#take(size);
    const bits = BigInt.asUintN(size * 8, value);
    if (size === 8) this.#buffer.writeBigUInt64LE(bits, at);
    else this.#buffer.writeUIntLE(Number(bits), at, size);
  }

  #text(type: DbusType, value: DbusValue): void {
    if (typeof value !== "string" || value.includes("\0") || !value.isWellFormed()) throw mismatch(type, value);
    if (type.code === "o" && !isObjectPath(value)) throw mismatch(type, value);
    if (type.code === "g") parseSignature(value);
    const bytes = Buffer.from(value);
    this.#integer(type.code === "g" ? "y" : "u", BigInt(bytes.length));
    const at = this.#take(bytes.length + 1);
    bytes.copy(this.#buffer, at);
  }

  #array(element: DbusType, value: DbusValue): void {
    this.#integer("u", 0n);
    const lengthAt = this.#length - 4;
    // The padding before the first element is there in an empty array too, and is not counted.
    this.#align(alignments[element.code]);
    const start = this.#length;
    if (element.code === "y" && value instanceof Uint8Array) {
      const at = this.#take(value.length);
      this.#buffer.set(value, at);
    } else if (element.code === "{" && value instanceof Map) {
      for (const [key, item] of value) {
        this.#align(8);
        this.write(element.key, key);
        this.write(element.value, item);
      }
    } else if (Array.isArray(value) && element.code !== "{") {
      for (const item of value) this.write(element, item);
    } else {
      throw mismatch({ code: "a", element }, value);
    }
    const length = this.#length - start;
    if (length > arrayBytesMax) throw new EngineError("invalid_argument", `D-Bus: an array of ${length} bytes`);
    this.#buffer.writeUInt32LE(length, lengthAt);
  }

  #align(size: number): void {
    this.#take(-this.#length & (size - 1));
  }

  /** Room for `size` bytes, which are zero. */
  #take(size: number): number {
    const at = this.#length;
    if (at + size > this.#buffer.length) {
      const grown = Buffer.alloc(Math.max(this.#buffer.length * 2, at + size));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    this.#length += size;
    return at;
  }
}

function mismatch(type: DbusType, value: DbusValue): EngineError {
  const shown = typeof value === "object" ? value.constructor.name : JSON.stringify(value, bigintAsText);
  return new EngineError("invalid_argument", `D-Bus: ${shown} is not of the type "${formatType(type)}"`);
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}` : value;
}

/**
 * Reads values of a signature out of `bytes`, which must hold nothing else.
 * @throws EngineError corrupt: whoever sent them is wrong, or hostile.
 */
export function unmarshal(signature: string, bytes: Uint8Array, littleEndian = true): DbusValue[] {
  const reader = new Reader(bytes, littleEndian);
  const values = parseSignature(signature).map((type) => reader.read(type));
  if (reader.offset !== bytes.length) throw corrupt(`${bytes.length - reader.offset} bytes too many`);
  return values;
}

/** Reads one value after another. */
export class Reader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #little: boolean;
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array, littleEndian: boolean) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#little = littleEndian;
  }

  get offset(): number {
    return this.#at;
  }

  read(type: DbusType): DbusValue {
    const { code } = type;
    if (code === "a") return this.#array(type.element);
    this.align(alignments[code]);
    switch (code) {
      case "y":
        return this.#view.getUint8(this.#take(1));
      case "n":
        return this.#view.getInt16(this.#take(2), this.#little);
      case "q":
        return this.#view.getUint16(this.#take(2), this.#little);
      case "i":
        return this.#view.getInt32(this.#take(4), this.#little);
      case "u":
      case "h":
        return this.#uint32();
      case "x":
        return this.#view.getBigInt64(this.#take(8), this.#little);
      case "t":
        return this.#view.getBigUint64(this.#take(8), this.#little);
      case "d":
        return this.#view.getFloat64(this.#take(8), this.#little);
      case "b":
        return this.#boolean();
      case "s":
      case "o":
        return this.#text(this.#uint32(), code);
      case "g":
        return this.#text(this.#view.getUint8(this.#take(1)), code);
      case "v":
        return this.#variant();
      case "(":
        return this.#nested(() => type.fields.map((field) => this.read(field)));
      default:
        throw corrupt("an entry of a dictionary outside of one");
    }
  }

  /** Skips to a multiple of `size`. What is skipped has to be zero. */
  align(size: number): void {
    const padding = -this.#at & (size - 1);
    const start = this.#take(padding);
    if (this.#bytes.subarray(start, start + padding).some((byte) => byte !== 0)) throw corrupt("padding is not zero");
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), this.#little);
  }

  #boolean(): boolean {
    const word = this.#uint32();
    if (word > 1) throw corrupt(`${word} is no boolean`);
    return word === 1;
  }

  #text(length: number, code: "s" | "o" | "g"): string {
    const start = this.#take(length + 1);
    const bytes = this.#bytes.subarray(start, start + length);
    if (this.#bytes[start + length] !== 0 || bytes.includes(0)) throw corrupt("a text with a misplaced NUL");
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw new EngineError("corrupt", "D-Bus message: a text that is not UTF-8", { cause });
    }
    if (code === "o" && !isObjectPath(text)) throw corrupt(`${JSON.stringify(text)} is no object path`);
    if (code === "g") parseSignature(text);
    return text;
  }

  #variant(): Variant {
    const signature = this.read({ code: "g" }) as string;
    const type = parseSingleType(signature);
    return new Variant(
      signature,
      this.#nested(() => this.read(type)),
    );
  }

  #array(element: DbusType): DbusValue {
    this.align(4);
    const length = this.#uint32();
    if (length > arrayBytesMax) throw corrupt(`an array of ${length} bytes`);
    this.align(alignments[element.code]);
    const end = this.#at + length;
    if (end > this.#bytes.length) throw corrupt("an array that is longer than the message");
    if (element.code === "y") return this.#bytes.slice(this.#take(length), end);
    return this.#nested(() => {
      const items = element.code === "{" ? this.#entries(element, end) : this.#items(element, end);
      if (this.#at !== end) throw corrupt("an array whose last element does not end with it");
      return items;
    });
  }

  #items(element: DbusType, end: number): DbusValue[] {
    const items: DbusValue[] = [];
    while (this.#at < end) items.push(this.read(element));
    return items;
  }

  #entries({ key, value }: Extract<DbusType, { code: "{" }>, end: number): DbusValue {
    const entries = new Map<string | number | bigint | boolean, DbusValue>();
    while (this.#at < end) {
      this.align(8);
      const name = this.read(key) as string | number | bigint | boolean;
      entries.set(name, this.read(value));
    }
    return entries;
  }

  #nested<T>(read: () => T): T {
    this.#depth += 1;
    if (this.#depth > depthMax) throw corrupt("values nested too deep");
    const value = read();
    this.#depth -= 1;
    return value;
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.length) throw corrupt("it ends too early");
    this.#at += size;
    return at;
  }
}

export function corrupt(reason: string): EngineError {
  return new EngineError("corrupt", `D-Bus message: ${reason}`);
}
