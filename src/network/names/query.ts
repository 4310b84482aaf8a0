/** What a sandbox is told: its own names from the table, errors for what is malformed, and what has to be asked outside. */
import {
  Answer,
  answerBytesMax,
  type BadQuery,
  CLASS,
  errorAnswer,
  type Query,
  RCODE,
  readQuery,
  TYPE,
} from "./message.ts";
import { canBeWritten, type ResourceRecord } from "./packet.ts";
import type { NameTable } from "./table.ts";

/** Who asks, and how. */
export interface Asker {
  sandboxId: string;
  overTcp: boolean;
  /** See `ServedSandbox`. */
  keepsSingleLabels: boolean;
}

export type Reply =
  /** Good as long as the table's version stays the same. */
  | { kind: "own"; answer: Answer }
  | { kind: "error"; answer: Uint8Array }
  /** Somebody else's name. */
  | { kind: "outside"; query: Query };

/** @returns undefined for what is not answered at all. */
export function replyTo(packet: Uint8Array, asker: Asker, table: NameTable): Reply | undefined {
  const query = readQuery(packet);
  if (query === undefined) return undefined;
  if (isBad(query)) return { kind: "error", answer: errorAnswer(query, query.rcode) };
  const { question } = query;
  // A whole zone comes in many messages, and nobody's resolver gives one.
  if (question.type === TYPE.AXFR || question.type === TYPE.IXFR) {
    return { kind: "error", answer: errorAnswer(query, RCODE.REFUSED) };
  }
  const records = ownRecords(query, asker, table);
  if (records === undefined) return { kind: "outside", query };
  return { kind: "own", answer: new Answer(query, records, answerBytesMax(query, asker.overTcp)) };
}

function isBad(query: Query | BadQuery): query is BadQuery {
  return "rcode" in query;
}

/**
 * None for a known name without records of that type, which is not to say that there is no such name (NODATA, RFC 2308
 * section 2.2). @returns undefined for what is not known.
 */
function ownRecords({ question }: Query, asker: Asker, table: NameTable): ResourceRecord[] | undefined {
  const { name, type } = question;
  if (name === undefined || name === "") return undefined;
  if (question.class !== CLASS.IN && question.class !== CLASS.ANY) return undefined;
  const key = reverseKey(name);
  if (key !== undefined) {
    const found = table.findAddress(asker.sandboxId, key);
    if (found === undefined) return undefined;
    const isAsked = (type === TYPE.PTR || type === TYPE.ANY) && canBeWritten(found);
    return isAsked ? [{ type: "PTR", name: found }] : [];
  }
  const found = table.find(asker.sandboxId, name);
  if (found === undefined) {
    const isForSearch = asker.keepsSingleLabels && !name.includes(".") && (type === TYPE.A || type === TYPE.AAAA);
    return isForSearch ? [] : undefined;
  }
  const ipv4 = type === TYPE.A || type === TYPE.ANY ? found.ipv4 : [];
  const ipv6 = type === TYPE.AAAA || type === TYPE.ANY ? found.ipv6 : [];
  return [
    ...ipv4.map((address) => ({ type: "A" as const, address })),
    ...ipv6.map((address) => ({ type: "AAAA" as const, address })),
  ];
}

/**
 * The address that a name of in-addr.arpa or ip6.arpa stands for, as hexadecimal digits: RFC 1035 section 3.5, RFC 3596
 * section 2.5. @returns undefined for other names, and for a part of an address.
 */
export function reverseKey(name: string): string | undefined {
  const match = /^(.+)\.(in-addr|ip6)\.arpa$/i.exec(name);
  if (match === null) return undefined;
  const digits = match[1]!.split(".").reverse();
  if (match[2]!.toLowerCase() === "ip6") {
    return digits.length === 32 && digits.every((digit) => /^[0-9a-f]$/i.test(digit))
      ? digits.join("").toLowerCase()
      : undefined;
  }
  if (digits.length !== 4 || !digits.every((digit) => /^(0|[1-9]\d{0,2})$/.test(digit) && Number(digit) < 256))
    return undefined;
  return Uint8Array.from(digits, Number).toHex();
}
