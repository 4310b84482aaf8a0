/**
 * The wire format of Protocol Buffers (protobuf.dev, "Encoding"), as far as criu's messages need it: numbers, booleans,
 * texts and messages inside of messages.
 */
import { decodeText, encodeText } from "../../../ffi/text.ts";

const varintType = 0;
const fixed64Type = 1;
const bytesType = 2;
const fixed32Type = 5;

/** One message, written field by field. What is undefined is left out. */
export class MessageWriter {
  readonly #bytes: number[] = [];

  /** int32, uint32 or an enum. Negative numbers are sign extended to 64 bits, as int32 is. */
  integer(field: number, value: number | undefined): this {
    if (value === undefined) return this;
    this.#varint(BigInt((field << 3) | varintType));
    this.#varint(BigInt.asUintN(64, BigInt(value)));
    return this;
  }

  boolean(field: number, value: boolean | undefined): this {
    return value === undefined ? this : this.integer(field, value ? 1 : 0);
  }

  text(field: number, value: string | undefined): this {
    return value === undefined ? this : this.#chunk(field, encodeText(value));
  }

  message(field: number, value: MessageWriter | undefined): this {
    return value === undefined ? this : this.#chunk(field, value.finish());
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #chunk(field: number, bytes: Uint8Array): this {
    this.#varint(BigInt((field << 3) | bytesType));
    this.#varint(BigInt(bytes.length));
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  #varint(value: bigint): void {
    let rest = value;
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes.push(Number(rest & 0x7fn) | 0x80);
    this.#bytes.push(Number(rest));
  }
}

/** The fields of a message that was received. Of a field that stands there twice the last one counts. */
export class MessageReader {
  readonly #fields = new Map<number, bigint | Uint8Array>();

  /** @throws RangeError for bytes that are no message. */
  constructor(bytes: Uint8Array) {
    let at = 0;
    const varint = (): bigint => {
      let value = 0n;
      for (let shift = 0n; shift < 70n; shift += 7n) {
        const byte = bytes[at++];
        if (byte === undefined) throw new RangeError("message ends inside of a number");
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) return BigInt.asUintN(64, value);
      }
      throw new RangeError("number of more than ten bytes");
    };
    const take = (length: number): Uint8Array => {
      if (length > bytes.length - at) throw new RangeError("message ends inside of a field");
      at += length;
      return bytes.subarray(at - length, at);
    };
    while (at < bytes.length) {
      const key = varint();
      const [field, type] = [Number(key >> 3n), Number(key & 7n)];
      if (type === varintType) this.#fields.set(field, varint());
      else if (type === bytesType) this.#fields.set(field, take(Number(varint())));
      // No field that is read here is of these types.
      else if (type === fixed64Type) take(8);
      else if (type === fixed32Type) take(4);
      else throw new RangeError(`field ${field} has the unknown type ${type}`);
    }
  }

  integer(field: number): number | undefined {
    const value = this.#fields.get(field);
    return typeof value === "bigint" ? Number(BigInt.asIntN(64, value)) : undefined;
  }

  boolean(field: number): boolean | undefined {
    const value = this.integer(field);
    return value === undefined ? undefined : value !== 0;
  }

  text(field: number): string | undefined {
    const value = this.#fields.get(field);
    return value instanceof Uint8Array ? decodeText(value) : undefined;
  }

  message(field: number): MessageReader | undefined {
    const value = this.#fields.get(field);
    return value instanceof Uint8Array ? new MessageReader(value) : undefined;
  }
}
