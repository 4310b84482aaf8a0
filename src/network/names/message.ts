/**
 * Questions and answers of the domain name system, RFC 1035 and 6891, as packets. What comes from a container is taken
 * apart here, and trusted in nothing; whoever asks gets the bytes of the own question back.
 */
import { headerBytes, labelBytesMax, nameBytesMax, type ResourceRecord, readName, writePacket } from "./packet.ts";

/** RFC 1035 section 4.2.1, for who says nothing else. */
const plainUdpBytesMax = 512;
/** What is told by UDP at most. Nothing is lost on the way in a loopback; this is what resolvers offer (RFC 6891). */
const udpBytesMax = 4096;
/** The length before a message on TCP has 16 bits. */
const tcpBytesMax = 65_535;
/** A question comes with OPT, and at most a signature (TSIG, SIG(0)). */
const additionalsMax = 4;

export const TYPE = { A: 1, PTR: 12, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const CLASS = { IN: 1, ANY: 255 } as const;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;

const flagResponse = 0x8000;
const flagAuthoritative = 0x0400;
const flagTruncated = 0x0200;
const flagRecursionDesired = 0x0100;
const flagRecursionAvailable = 0x0080;
const flagCheckingDisabled = 0x0010;
const ednsDnssecOk = 0x8000;

export interface Question {
  /** As it was written, without the last dot; "" for the root. Undefined for one that text does not hold. */
  name: string | undefined;
  type: number;
  class: number;
}

export interface Edns {
  udpBytesMax: number;
  version: number;
  dnssecOk: boolean;
}

/** A question as it came. */
export interface Query {
  /** The packet itself. */
  bytes: Uint8Array;
  question: Question;
  /** Where the question ends in the packet. */
  questionEnd: number;
  edns: Edns | undefined;
}

/** A packet that is answered with an error and nothing else. */
export interface BadQuery {
  bytes: Uint8Array;
  rcode: number;
  /** Where the question ends; `headerBytes` when there is none to send back. */
  questionEnd: number;
  edns: Edns | undefined;
}

/** @returns undefined for what is not answered at all: it is no question. Two that answer each other would never end. */
export function readQuery(bytes: Uint8Array): Query | BadQuery | undefined {
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = view.getUint16(2);
  if ((flags & flagResponse) !== 0) return undefined;
  const bad = (rcode: number, questionEnd = headerBytes): BadQuery => ({ bytes, rcode, questionEnd, edns: undefined });
  if (((flags >> 11) & 15) !== 0) return bad(RCODE.NOTIMP);
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => view.getUint16(at));
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additionals! > additionalsMax) return bad(RCODE.FORMERR);
  const nameEnd = skipName(bytes, headerBytes, false);
  if (nameEnd === undefined || nameEnd + 4 > bytes.length) return bad(RCODE.FORMERR);
  const questionEnd = nameEnd + 4;
  const edns = findEdns(view, bytes, questionEnd, additionals!);
  if (edns === null) return bad(RCODE.FORMERR, questionEnd);
  if (edns !== undefined && edns.version > 0) return { bytes, rcode: RCODE.BADVERS, questionEnd, edns };
  const name = readName(bytes.subarray(headerBytes, questionEnd));
  const question = { name, type: view.getUint16(nameEnd), class: view.getUint16(nameEnd + 2) };
  return { bytes, question, questionEnd, edns };
}

/** @returns where the name ends; undefined when it is none. */
function skipName(bytes: Uint8Array, start: number, pointers: boolean): number | undefined {
  for (let at = start; at < bytes.length; ) {
    const length = bytes[at]!;
    if (at - start >= nameBytesMax) return undefined;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return pointers && at + 2 <= bytes.length ? at + 2 : undefined;
    if (length > labelBytesMax) return undefined;
    at += 1 + length;
  }
  return undefined;
}

/** @returns undefined when there is none, null when the records are malformed. */
function findEdns(view: DataView, bytes: Uint8Array, start: number, count: number): Edns | undefined | null {
  let edns: Edns | undefined;
  let at = start;
  for (let n = 0; n < count; n++) {
    const nameEnd = skipName(bytes, at, true);
    if (nameEnd === undefined || nameEnd + 10 > bytes.length) return null;
    const end = nameEnd + 10 + view.getUint16(nameEnd + 8);
    if (end > bytes.length) return null;
    if (view.getUint16(nameEnd) === TYPE.OPT) {
      // RFC 6891 section 6.1.1: one, and its name is the root.
      if (edns !== undefined || nameEnd !== at + 1) return null;
      const flags = view.getUint16(nameEnd + 6);
      const size = view.getUint16(nameEnd + 2);
      edns = { udpBytesMax: size, version: bytes[nameEnd + 5]!, dnssecOk: (flags & ednsDnssecOk) !== 0 };
    }
    at = end;
  }
  return edns;
}

/** How many bytes an answer may have. */
export function answerBytesMax({ edns }: Pick<Query, "edns">, overTcp: boolean): number {
  if (overTcp) return tcpBytesMax;
  return Math.min(Math.max(edns?.udpBytesMax ?? 0, plainUdpBytesMax), udpBytesMax);
}

/** The answer that has no records, to a question that may be malformed. */
export function errorAnswer(query: Query | BadQuery, rcode: number): Uint8Array {
  const opt = query.edns === undefined ? [] : [optRecord(query.edns, rcode)];
  const records = writePacket(0, undefined, [], opt).subarray(headerBytes);
  const answer = new Uint8Array(query.questionEnd + records.length);
  answer.set(query.bytes.subarray(0, query.questionEnd));
  answer.set(records, query.questionEnd);
  const view = new DataView(answer.buffer);
  const asked = view.getUint16(2);
  // The opcode goes back as it came.
  view.setUint16(2, flagResponse | (asked & 0x7800) | keptFlags(asked) | flagRecursionAvailable | (rcode & 15));
  view.setUint16(4, query.questionEnd > headerBytes ? 1 : 0);
  view.setUint16(6, 0);
  view.setUint16(8, 0);
  view.setUint16(10, opt.length);
  return answer;
}

/** An answer that can be sent many times, each time with another id and another record first. */
export class Answer {
  readonly #head: Uint8Array;
  readonly #records: Uint8Array;
  readonly #recordBytes: number;
  readonly #tail: Uint8Array;
  readonly #sent: number;
  #first = 0;
  readonly bytes: number;

  /**
   * Of the sandbox's own knowledge. Of records that do not fit, as many are told as do; with `TC` where TCP gets all.
   * @param records of the same type, unless there are few. @param bytesMax see `answerBytesMax`
   */
  constructor(query: Query, records: readonly ResourceRecord[], bytesMax: number) {
    const { edns, question } = query;
    const opt = edns === undefined ? [] : [optRecord(edns, RCODE.NOERROR)];
    const asked = (query.bytes[2]! << 8) | query.bytes[3]!;
    const flags = flagAuthoritative | flagRecursionAvailable | keptFlags(asked);
    const type = records[0]?.type ?? "A";
    const packet = writePacket(flags, { name: question.name ?? ".", type }, records, opt);
    const tailBytes = opt.length === 0 ? 0 : writePacket(0, undefined, [], opt).length - headerBytes;
    this.#head = packet.slice(0, query.questionEnd);
    this.#head.set(query.bytes.subarray(headerBytes, query.questionEnd), headerBytes);
    this.#records = packet.subarray(query.questionEnd, packet.length - tailBytes);
    this.#tail = packet.subarray(packet.length - tailBytes);
    // Records of one name and type have one length, so that turning them is copying two pieces.
    const isUniform = records.every(({ type }) => type === records[0]!.type);
    this.#recordBytes = isUniform ? this.#records.length / Math.max(1, records.length) : this.#records.length;
    const room = bytesMax - this.#head.length - tailBytes;
    const fitting = this.#recordBytes === 0 ? 0 : Math.floor(room / this.#recordBytes) * this.#recordBytes;
    this.#sent = Math.min(this.#records.length, fitting);
    const view = new DataView(this.#head.buffer);
    if (this.#sent < this.#records.length) {
      view.setUint16(6, isUniform ? this.#sent / this.#recordBytes : 0);
      // Over TCP there is no more to be had.
      if (bytesMax < tcpBytesMax) view.setUint16(2, view.getUint16(2) | flagTruncated);
    }
    this.bytes = this.#head.length + this.#sent + tailBytes;
  }

  /** What it takes in memory. */
  get heldBytes(): number {
    return this.#head.length + this.#records.length + this.#tail.length;
  }

  /** Writes the next form of the answer into `target`, with the id of a question. @returns its length. */
  write(query: Uint8Array, target: Uint8Array, offset: number): number {
    target.set(this.#head, offset);
    target[offset] = query[0]!;
    target[offset + 1] = query[1]!;
    let at = offset + this.#head.length;
    const records = this.#records;
    if (records.length === this.#recordBytes) {
      target.set(records.subarray(0, this.#sent), at);
    } else if (records.length > 0) {
      const end = this.#first + this.#sent;
      target.set(records.subarray(this.#first, end), at);
      if (end > records.length)
        target.set(records.subarray(0, end - records.length), at + records.length - this.#first);
      this.#first += this.#recordBytes;
      if (this.#first === records.length) this.#first = 0;
    }
    at += this.#sent;
    target.set(this.#tail, at);
    return this.bytes;
  }

  /** The next form as a packet of its own. */
  next(query: Uint8Array): Uint8Array {
    const packet = new Uint8Array(this.bytes);
    this.write(query, packet, 0);
    return packet;
  }
}

/** What an answer repeats of the question's flags. */
function keptFlags(asked: number): number {
  return asked & (flagRecursionDesired | flagCheckingDisabled);
}

function optRecord(edns: Edns, rcode: number): ResourceRecord {
  const flags = edns.dnssecOk ? ednsDnssecOk : 0;
  return { type: "OPT", udpBytesMax, extendedRcode: rcode >> 4, flags };
}

/** Whether a packet answers what was asked: the same id and question, letter for letter but for their case. */
export function isAnswerTo(answer: Uint8Array, asked: Uint8Array, questionEnd: number, id: number): boolean {
  if (answer.length < questionEnd || ((answer[0]! << 8) | answer[1]!) !== id) return false;
  if ((answer[2]! & 0x80) === 0 || (answer[2]! & 0x78) !== 0 || answer[4] !== 0 || answer[5] !== 1) return false;
  for (let at = headerBytes; at < questionEnd; at++) {
    if (answer[at] !== asked[at] && lowerCase(answer[at]!) !== lowerCase(asked[at]!)) return false;
  }
  return true;
}

function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte;
}

export function rcodeOf(packet: Uint8Array): number {
  return packet[3]! & 15;
}

export function isTruncated(packet: Uint8Array): boolean {
  return (packet[2]! & (flagTruncated >> 8)) !== 0;
}

/** An answer from elsewhere as far as it may be told by UDP: what is longer is asked again over TCP. */
export function fitAnswer(answer: Uint8Array, query: Query, overTcp: boolean): Uint8Array {
  if (answer.length <= answerBytesMax(query, overTcp)) return answer;
  const cut = errorAnswer({ ...query, bytes: answer }, rcodeOf(answer));
  cut[2]! |= flagTruncated >> 8;
  return cut;
}
