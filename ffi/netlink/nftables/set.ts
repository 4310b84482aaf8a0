/**
 * Sets and maps of nf_tables and their elements as messages. include/uapi/linux/netfilter/nf_tables.h; the numbers of
 * types and what nft(8) keeps beside a set are nft's own (include/datatype.h, libnftnl's udata.h).
 */
import { Attributes, type Message, NLM_F_CREATE, type Reply } from "../message.ts";
import { decodeVerdict, encodeVerdict, type Verdict } from "./expression.ts";
import { decodeName, nfgenmsgLength, objectMessage, type TableName } from "./objects.ts";

const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DATA_TYPE = 6;
const NFTA_SET_DATA_LEN = 7;
const NFTA_SET_ID = 10;
const NFTA_SET_USERDATA = 13;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_DATA_VALUE = 1;

const NFT_SET_ANONYMOUS = 0x1;
const NFT_SET_MAP = 0x8;
const NFT_DATA_VERDICT = 0xffffff00;

/** What nft(8) keeps on a set: the byte order of its keys and of its data, each as type, length, value. */
const userdataKeyOrder = 0;
const userdataDataOrder = 1;
/** Of a concatenation: each field has its own. */
const orderOfFields = 0;

/** A concatenation's number has six bits for each of its fields. */
const typeBits = 6;
/** Each field of a concatenation begins at a register of four bytes. */
const registerBytes = 4;

/** Elements of one message share an attribute of 64 KiB; the largest take 64 bytes each. */
const elementsPerMessage = 800;

/**
 * The number and the byte order (1 the machine's, 2 the network's) by which nft(8) shows values, and their length in
 * bytes, which is all that the kernel knows.
 */
const dataTypes = {
  nf_proto: { type: 2, length: 1, order: 1 },
  ipv4_addr: { type: 7, length: 4, order: 2 },
  ipv6_addr: { type: 8, length: 16, order: 2 },
  inet_proto: { type: 12, length: 1, order: 2 },
  inet_service: { type: 13, length: 2, order: 2 },
  mark: { type: 19, length: 4, order: 1 },
  ifname: { type: 41, length: 16, order: 1 },
} as const;
export type DataType = keyof typeof dataTypes;

export interface SetDefinition extends TableName {
  set: string;
  /** Several for a concatenation: `ipv4_addr . inet_proto . inet_service`. */
  key: readonly DataType[];
  /** Present on maps: what keys lead to. */
  data?: readonly DataType[] | "verdict";
}

export interface SetElement {
  /** As in registers: see `concatenation`. */
  key: Uint8Array;
  data?: Uint8Array;
  verdict?: { verdict: Verdict; chain?: string };
}

/** The fields of a key, or of a map's data, as the kernel keeps them: each padded to four bytes. */
export function concatenation(...fields: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, field) => sum + padded(field.length), 0));
  let offset = 0;
  for (const field of fields) {
    bytes.set(field, offset);
    offset += padded(field.length);
  }
  return bytes;
}

function padded(length: number): number {
  return Math.ceil(length / registerBytes) * registerBytes;
}

/** @param id tells sets of one batch apart. */
export function newSet(set: SetDefinition, id: number): Message {
  const key = describe(set.key);
  const message = objectMessage("NEWSET", set, NLM_F_CREATE, set.set)
    .string(NFTA_SET_TABLE, set.table)
    .string(NFTA_SET_NAME, set.set)
    .u32be(NFTA_SET_FLAGS, set.data === undefined ? 0 : NFT_SET_MAP)
    .u32be(NFTA_SET_KEY_TYPE, key.type)
    .u32be(NFTA_SET_KEY_LEN, key.length)
    .u32be(NFTA_SET_ID, id);
  const keyOrder = [userdataKeyOrder, 4, key.order, 0, 0, 0];
  if (set.data === undefined) return message.bytes(NFTA_SET_USERDATA, new Uint8Array(keyOrder));
  const data = set.data === "verdict" ? { type: NFT_DATA_VERDICT, length: 0, order: 0 } : describe(set.data);
  return message
    .u32be(NFTA_SET_DATA_TYPE, data.type)
    .u32be(NFTA_SET_DATA_LEN, data.length)
    .bytes(NFTA_SET_USERDATA, new Uint8Array([...keyOrder, userdataDataOrder, 4, data.order, 0, 0, 0]));
}

function describe(fields: readonly DataType[]): { type: number; length: number; order: number } {
  if (fields.length === 1) return dataTypes[fields[0]!];
  const types = fields.map((field) => dataTypes[field]);
  return {
    type: types.reduce((number, { type }) => (number << typeBits) | type, 0),
    length: types.reduce((sum, { length }) => sum + padded(length), 0),
    order: orderOfFields,
  };
}

export function deleteSet(set: TableName & { set: string }): Message {
  return objectMessage("DELSET", set, 0, set.set).string(NFTA_SET_TABLE, set.table).string(NFTA_SET_NAME, set.set);
}

/**
 * As many messages as the elements need. One that is in the set already is no error.
 * @throws NetlinkError on commit, EEXIST or EBUSY when a map leads from one of the keys to something else.
 */
export function newElements(set: TableName & { set: string }, elements: readonly SetElement[]): Message[] {
  return elementMessages("NEWSETELEM", NLM_F_CREATE, set, elements);
}

/** @throws NetlinkError on commit, ENOENT when one is not in the set. */
export function deleteElements(set: TableName & { set: string }, elements: readonly SetElement[]): Message[] {
  return elementMessages("DELSETELEM", 0, set, elements);
}

function elementMessages(
  type: "NEWSETELEM" | "DELSETELEM",
  flags: number,
  set: TableName & { set: string },
  elements: readonly SetElement[],
): Message[] {
  const messages: Message[] = [];
  for (let start = 0; start < elements.length; start += elementsPerMessage) {
    const part = elements.slice(start, start + elementsPerMessage);
    const message = objectMessage(type, set, flags, set.set)
      .string(NFTA_SET_ELEM_LIST_TABLE, set.table)
      .string(NFTA_SET_ELEM_LIST_SET, set.set)
      .nest(NFTA_SET_ELEM_LIST_ELEMENTS, (list) => {
        for (const each of part) list.nest(NFTA_LIST_ELEM, (element) => encodeElement(element, each));
      });
    messages.push(message);
  }
  return messages;
}

function encodeElement(message: Message, { key, data, verdict }: SetElement): void {
  message.nest(NFTA_SET_ELEM_KEY, (value) => value.bytes(NFTA_DATA_VALUE, key));
  if (data !== undefined) message.nest(NFTA_SET_ELEM_DATA, (value) => value.bytes(NFTA_DATA_VALUE, data));
  if (verdict === undefined) return;
  message.nest(NFTA_SET_ELEM_DATA, (value) => encodeVerdict(value, verdict.verdict, verdict.chain));
}

/** Undefined for anonymous sets, which belong to a rule, and for types that have no name here. */
export function decodeSet(reply: Reply): SetDefinition | undefined {
  const attributes = new Attributes(reply.body, nfgenmsgLength);
  const name = decodeName(reply, attributes.string(NFTA_SET_TABLE));
  const set = attributes.string(NFTA_SET_NAME);
  const flags = attributes.u32be(NFTA_SET_FLAGS) ?? 0;
  const key = fieldsOf(attributes.u32be(NFTA_SET_KEY_TYPE));
  if (name === undefined || set === undefined || key === undefined || (flags & NFT_SET_ANONYMOUS) !== 0) {
    return undefined;
  }
  if ((flags & NFT_SET_MAP) === 0) return { ...name, set, key };
  const type = attributes.u32be(NFTA_SET_DATA_TYPE);
  const data = type === NFT_DATA_VERDICT ? "verdict" : fieldsOf(type);
  return data && { ...name, set, key, data };
}

function fieldsOf(type: number | undefined): DataType[] | undefined {
  const fields: DataType[] = [];
  for (let rest = type ?? 0; rest > 0; rest >>>= typeBits) {
    const number = rest & ((1 << typeBits) - 1);
    const name = (Object.keys(dataTypes) as DataType[]).find((each) => dataTypes[each].type === number);
    if (name === undefined) return undefined;
    fields.unshift(name);
  }
  return fields.length === 0 ? undefined : fields;
}

export function decodeElements(reply: Reply): SetElement[] {
  const attributes = new Attributes(reply.body, nfgenmsgLength);
  const elements = attributes.nested(NFTA_SET_ELEM_LIST_ELEMENTS)?.entries ?? [];
  return elements.flatMap(({ value }) => {
    const element = new Attributes(value);
    const key = element.nested(NFTA_SET_ELEM_KEY)?.bytes(NFTA_DATA_VALUE);
    const content = element.nested(NFTA_SET_ELEM_DATA);
    const data = content?.bytes(NFTA_DATA_VALUE);
    const verdict = content && decodeVerdict(content);
    return key === undefined ? [] : [{ key, ...(data !== undefined && { data }), ...(verdict && { verdict }) }];
  });
}
