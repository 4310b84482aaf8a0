/**
 * Netlink messages: a header (struct nlmsghdr), a family's own structure, and attributes (type, length, value) that
 * may nest. netlink(7), include/uapi/linux/netlink.h.
 *
 * Headers and most of rtnetlink are in the machine's byte order (little-endian on the architectures that tsd runs on);
 * nf_tables and addresses are in network order. The caller chooses with `u32` or `u32be`.
 */

export const NLM_F_REQUEST = 0x01;
export const NLM_F_MULTI = 0x02;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const headerLength = 16;
const NLA_F_NESTED = 0x8000;
/** The upper two bits of an attribute's type are flags: NLA_F_NESTED, NLA_F_NET_BYTEORDER. */
const NLA_TYPE_MASK = 0x3fff;

const align = (length: number): number => (length + 3) & ~3;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a message asks for, in words that an error can show: `RTM_NEWLINK veth1a2b3c4`. */
export interface Subject {
  /** The message type's name in the kernel's headers. */
  call: string;
  /** The object that it is about. */
  object?: string;
}

/** A request under construction. The socket fills in the sequence number when it is sent. */
export class Message {
  readonly subject: Subject;
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = headerLength;

  constructor(type: number, flags: number, subject: Subject) {
    this.subject = subject;
    this.#view.setUint16(4, type, true);
    this.#view.setUint16(6, flags | NLM_F_REQUEST, true);
  }

  get type(): number {
    return this.#view.getUint16(4, true);
  }

  /** Where the next attribute will begin; its value comes 4 bytes later. */
  get length(): number {
    return this.#length;
  }

  /** Writes over what is there already: for a message that is sent again with another value of the same length. */
  overwrite(offset: number, value: Uint8Array): void {
    this.#bytes.set(value, offset);
  }

  get flags(): number {
    return this.#view.getUint16(6, true);
  }

  /** The family's fixed structure that follows the header; call it before any attribute. */
  structure(bytes: Uint8Array): this {
    this.#append(bytes);
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    const start = this.#length;
    this.#reserve(4 + value.length);
    this.#view.setUint16(start, 4 + value.length, true);
    this.#view.setUint16(start + 2, type, true);
    this.#length += 4;
    this.#append(value);
    return this;
  }

  flag(type: number): this {
    return this.bytes(type, new Uint8Array(0));
  }

  u8(type: number, value: number): this {
    return this.bytes(type, new Uint8Array([value]));
  }

  u16(type: number, value: number): this {
    return this.bytes(type, integer(2, value, true));
  }

  u32(type: number, value: number): this {
    return this.bytes(type, integer(4, value, true));
  }

  u32be(type: number, value: number): this {
    return this.bytes(type, integer(4, value, false));
  }

  u64be(type: number, value: bigint): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value);
    return this.bytes(type, bytes);
  }

  /** A string with its terminating NUL, as interface, table and chain names are sent. */
  string(type: number, value: string): this {
    return this.bytes(type, encoder.encode(`${value}\0`));
  }

  /** An attribute whose value is attributes. `flagged` sets NLA_F_NESTED, which nf_tables and newer families check. */
  nest(type: number, fill: (message: this) => void, flagged = true): this {
    const start = this.#length;
    this.#reserve(4);
    this.#view.setUint16(start + 2, flagged ? type | NLA_F_NESTED : type, true);
    this.#length += 4;
    fill(this);
    this.#view.setUint16(start, this.#length - start, true);
    return this;
  }

  /** The finished bytes. They stay the message's own: valid until it is changed. */
  finish(sequence: number, extraFlags = 0): Uint8Array {
    this.#view.setUint32(0, this.#length, true);
    this.#view.setUint16(6, this.flags | extraFlags, true);
    this.#view.setUint32(8, sequence, true);
    return this.#bytes.subarray(0, this.#length);
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length = align(this.#length + bytes.length);
  }

  #reserve(more: number): void {
    const needed = align(this.#length + more);
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

export function integer(size: 1 | 2 | 4, value: number, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  if (size === 1) view.setUint8(0, value);
  else if (size === 2) view.setUint16(0, value, littleEndian);
  else view.setUint32(0, value >>> 0, littleEndian);
  return bytes;
}

/** A message that the kernel sent. `body` is what follows the header. */
export interface Reply {
  type: number;
  flags: number;
  sequence: number;
  body: Uint8Array;
}

/** Cuts what one recv(2) returned into messages. @throws RangeError on a length that leaves the buffer. */
export function decodeMessages(buffer: Uint8Array): Reply[] {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const replies: Reply[] = [];
  for (let offset = 0; offset + headerLength <= buffer.length; ) {
    const length = view.getUint32(offset, true);
    if (length < headerLength || offset + length > buffer.length) {
      throw new RangeError(`netlink message of ${length} bytes at ${offset} in a buffer of ${buffer.length}`);
    }
    replies.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      body: buffer.subarray(offset + headerLength, offset + length),
    });
    offset += align(length);
  }
  return replies;
}

/** The attributes of a message or of a nested attribute. Values are views, not copies. */
export class Attributes {
  readonly entries: { type: number; value: Uint8Array }[] = [];

  /** @throws RangeError on a length that leaves the bytes. */
  constructor(bytes: Uint8Array, start = 0) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let offset = start; offset + 4 <= bytes.length; ) {
      const length = view.getUint16(offset, true);
      if (length < 4 || offset + length > bytes.length) {
        throw new RangeError(`netlink attribute of ${length} bytes at ${offset} in ${bytes.length}`);
      }
      const type = view.getUint16(offset + 2, true) & NLA_TYPE_MASK;
      this.entries.push({ type, value: bytes.subarray(offset + 4, offset + length) });
      offset += align(length);
    }
  }

  bytes(type: number): Uint8Array | undefined {
    return this.entries.find((entry) => entry.type === type)?.value;
  }

  has(type: number): boolean {
    return this.bytes(type) !== undefined;
  }

  u8(type: number): number | undefined {
    return this.bytes(type)?.[0];
  }

  u16(type: number): number | undefined {
    return this.#number(type, 2, (view) => view.getUint16(0, true));
  }

  u32(type: number): number | undefined {
    return this.#number(type, 4, (view) => view.getUint32(0, true));
  }

  u32be(type: number): number | undefined {
    return this.#number(type, 4, (view) => view.getUint32(0, false));
  }

  u64be(type: number): bigint | undefined {
    return this.#number(type, 8, (view) => view.getBigUint64(0, false));
  }

  /** Text up to its NUL; without one, to the end. */
  string(type: number): string | undefined {
    const value = this.bytes(type);
    return value && textOf(value);
  }

  nested(type: number): Attributes | undefined {
    const value = this.bytes(type);
    return value && new Attributes(value);
  }

  #number<T>(type: number, size: number, read: (view: DataView) => T): T | undefined {
    const value = this.bytes(type);
    if (value === undefined || value.length < size) return undefined;
    return read(new DataView(value.buffer, value.byteOffset, value.byteLength));
  }
}

/** The text before the first NUL. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
