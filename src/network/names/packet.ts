/**
 * Names and records as dns-packet reads and writes them.
 *
 * dns-packet takes a count in the header at its word (65,535 records are four arrays of that length before the first
 * is read), turns bytes that are no UTF-8 into others, and cannot tell a dot within a label from one between two. It is
 * given nothing but one question, whose frame has been checked (message.ts).
 */
import { type Answer, decode, encode, type RecordType } from "dns-packet";

export const headerBytes = 12;
/** RFC 1035 section 2.3.4, in the form in which they are sent. */
export const nameBytesMax = 255;
export const labelBytesMax = 63;

/**
 * How long an answer may be kept, in seconds. Docker says 600. But a container gets another address when it starts
 * anew, and whoever kept the old one talks to nobody, or to a stranger: asking again costs a few microseconds here.
 */
export const ttlSeconds = 5;

export type ResourceRecord =
  | { type: "A" | "AAAA"; address: string }
  | { type: "PTR"; name: string }
  | { type: "OPT"; udpBytesMax: number; extendedRcode: number; flags: number };

/**
 * The name that a question asks for, without the last dot; "" for the root.
 * @param question of one packet: from its name to its class, not compressed.
 * @returns undefined for a name that text does not hold, so no container has it.
 */
export function readName(question: Uint8Array): string | undefined {
  const packet = Buffer.alloc(headerBytes + question.length);
  packet[5] = 1;
  packet.set(question, headerBytes);
  const [read] = decode(packet).questions!;
  const again = encode({ questions: [read!] });
  if (Buffer.compare(again.subarray(headerBytes), packet.subarray(headerBytes)) !== 0) return undefined;
  return read!.name === "." ? "" : read!.name;
}

/** Whether a name can be written, and is no other one when it is read again. */
export function canBeWritten(name: string): boolean {
  const labels = name.split(".").map((label) => Buffer.byteLength(label));
  const bytes = labels.reduce((sum, length) => sum + length + 1, 1);
  return bytes <= nameBytesMax && labels.every((length) => length > 0 && length <= labelBytesMax);
}

/** An answer as a packet with the id 0. @param flags of the header, with the result. */
export function writePacket(
  flags: number,
  question: { name: string; type: RecordType } | undefined,
  answers: readonly ResourceRecord[],
  additionals: readonly ResourceRecord[],
): Uint8Array {
  const name = question?.name ?? ".";
  return encode({
    type: "response",
    flags,
    questions: question === undefined ? [] : [question],
    answers: answers.map((record) => asAnswer(name, record)),
    additionals: additionals.map((record) => asAnswer(".", record)),
  });
}

function asAnswer(name: string, record: ResourceRecord): Answer {
  switch (record.type) {
    case "PTR":
      return { name, type: "PTR", ttl: ttlSeconds, data: record.name };
    case "OPT": {
      const { udpBytesMax, extendedRcode, flags } = record;
      const flag_do = flags !== 0;
      return {
        name: ".",
        type: "OPT",
        udpPayloadSize: udpBytesMax,
        extendedRcode,
        ednsVersion: 0,
        flags,
        flag_do,
        options: [],
      };
    }
    default:
      return { name, type: record.type, ttl: ttlSeconds, data: record.address };
  }
}
