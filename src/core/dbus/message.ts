/** Whole messages. D-Bus specification, "Message Format". */
import { corrupt, marshal, Reader, unmarshal } from "./marshal.ts";
import { type DbusValue, parseSingleType, Variant } from "./types.ts";

/** The types of messages, by their number. */
export const messageTypes = { call: 1, reply: 2, error: 3, signal: 4 } as const;

export interface DbusMessage {
  /** One of messageTypes; others are to be ignored. */
  type: number;
  /** Not 0. */
  serial: number;
  /** NO_REPLY_EXPECTED 1, NO_AUTO_START 2, ALLOW_INTERACTIVE_AUTHORIZATION 4. */
  flags?: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  /** The serial of the call that this answers. */
  replySerial?: number;
  destination?: string;
  sender?: string;
  signature?: string;
  body: DbusValue[];
}

/** Header fields: code, name here, type. Code 9 counts descriptors, which are not asked for. */
const fields = [
  [1, "path", "o"],
  [2, "interface", "s"],
  [3, "member", "s"],
  [4, "errorName", "s"],
  [5, "replySerial", "u"],
  [6, "destination", "s"],
  [7, "sender", "s"],
  [8, "signature", "g"],
] as const;

/** What each type cannot be without. */
const required: Record<number, (keyof DbusMessage)[]> = {
  [messageTypes.call]: ["path", "member"],
  [messageTypes.reply]: ["replySerial"],
  [messageTypes.error]: ["errorName", "replySerial"],
  [messageTypes.signal]: ["path", "interface", "member"],
};

const headerSignature = "yyyyuua(yv)";
const headerType = parseSingleType(`(${headerSignature})`);
const protocolVersion = 1;
/** Of the specification, header included. */
const messageBytesMax = 2 ** 27;
/** Bytes after which the length of a message is known: up to the length of its array of fields. */
const fixedBytes = 16;

export function encodeMessage(message: DbusMessage): Uint8Array {
  const body = marshal(message.signature ?? "", message.body);
  const entries = fields.flatMap(([code, name, type]) => {
    const value = message[name];
    return value === undefined || value === "" ? [] : [[code, new Variant(type, value)]];
  });
  const little = "l".charCodeAt(0);
  const { type, flags = 0, serial } = message;
  const header = marshal(headerSignature, [little, type, flags, protocolVersion, body.length, serial, entries]);
  const padding = new Uint8Array(-header.length & 7);
  return Buffer.concat([header, padding, body]);
}

/**
 * How many bytes the message has that `bytes` begin with; undefined while there are too few to tell.
 * @throws EngineError corrupt.
 */
export function messageLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < fixedBytes) return undefined;
  const little = isLittleEndian(bytes);
  if (bytes[3] !== protocolVersion) throw corrupt(`protocol version ${bytes[3]}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const headerLength = fixedBytes + view.getUint32(12, little);
  const length = headerLength + (-headerLength & 7) + view.getUint32(4, little);
  if (length > messageBytesMax) throw corrupt(`${length} bytes long`);
  return length;
}

function isLittleEndian(bytes: Uint8Array): boolean {
  const mark = String.fromCharCode(bytes[0]!);
  if (mark === "l") return true;
  if (mark === "B") return false;
  throw corrupt(`the byte order ${JSON.stringify(mark)}`);
}

/** Reads one message of exactly messageLength bytes. @throws EngineError corrupt. */
export function decodeMessage(bytes: Uint8Array): DbusMessage {
  const little = isLittleEndian(bytes);
  const reader = new Reader(bytes, little);
  const [, type, flags, , bodyLength, serial, entries] = reader.read(headerType) as [
    number,
    number,
    number,
    number,
    number,
    number,
    [number, Variant][],
  ];
  reader.align(8);
  if (serial === 0) throw corrupt("the serial 0");
  if (reader.offset + bodyLength !== bytes.length) throw corrupt("its length is not what its header says");
  const message: DbusMessage = { type, flags, serial, body: [] };
  for (const [code, value] of entries) {
    const field = fields.find(([known]) => known === code);
    // "Implementations must ignore header fields that they do not know."
    if (field === undefined) continue;
    if (value.signature !== field[2]) throw corrupt(`the field ${field[1]} has the type "${value.signature}"`);
    Object.assign(message, { [field[1]]: value.value });
  }
  const missing = required[type]?.find((name) => message[name] === undefined);
  if (missing !== undefined) throw corrupt(`it has no ${missing}`);
  // The body begins at a multiple of 8, so offsets in it are right when they are counted from its own begin.
  message.body = unmarshal(message.signature ?? "", bytes.subarray(reader.offset), little);
  return message;
}
