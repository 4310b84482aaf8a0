import { describe, expect, test } from "bun:test";
import { type Answer, type DecodedPacket, decode, encode, type RecordType } from "dns-packet";
import fc from "fast-check";
import { answerBytesMax, fitAnswer, isAnswerTo, type Query, readQuery } from "./message.ts";
import { type Asker, replyTo, reverseKey } from "./query.ts";
import type { EndpointNames } from "./records.ts";
import { NameTable } from "./table.ts";

const asker: Asker = { sandboxId: "s1", overTcp: false, keepsSingleLabels: false };

function endpoint(overrides: Partial<EndpointNames> & { endpointId: string }): EndpointNames {
  const { endpointId } = overrides;
  return {
    sandboxId: `s${endpointId}`,
    containerId: `c${endpointId}`,
    networkId: "n1",
    networkName: "mynet",
    internal: false,
    names: [],
    ...overrides,
  };
}

function twoContainers(): NameTable {
  const table = new NameTable();
  table.set(endpoint({ endpointId: "1", names: ["client"], ipv4: "10.0.0.2" }));
  table.set(endpoint({ endpointId: "2", names: ["web", "Www", "abc123"], ipv4: "10.0.0.3", ipv6: "fd00::3" }));
  return table;
}

function question(name: string, type: string, additionals: Answer[] = [], id = 7): Uint8Array {
  const questions = [{ name, type: type as RecordType }];
  return encode({ type: "query", id, flags: 0x100, questions, additionals });
}

function opt(udpPayloadSize: number, ednsVersion = 0): Answer {
  return {
    name: ".",
    type: "OPT",
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

/** The packet that is sent back, or the kind of the reply. */
function answerTo(table: NameTable, packet: Uint8Array, by: Partial<Asker> = {}): DecodedPacket | "outside" {
  const reply = replyTo(packet, { ...asker, ...by }, table);
  if (reply === undefined) throw new Error("no reply");
  if (reply.kind === "outside") return "outside";
  return decode(Buffer.from(reply.kind === "own" ? reply.answer.next(packet) : reply.answer));
}

function told(table: NameTable, name: string, type: string, by: Partial<Asker> = {}): string[] | "outside" {
  const answer = answerTo(table, question(name, type), by);
  if (answer === "outside") return answer;
  expect(answer.flags! & 15).toBe(0);
  return answer.answers!.map((record) => (record as { data: string }).data);
}

describe("names", () => {
  test("are found whatever their case and last dot, alone and with their network's name", () => {
    const table = twoContainers();
    for (const name of ["web", "WEB", "www", "abc123", "web.", "web.mynet", "wEb.MyNet."]) {
      expect(told(table, name, "A")).toEqual(["10.0.0.3"]);
    }
    for (const name of ["web.other", "mynet", "web.mynet.org", "org.web", ".", "we", "web2"]) {
      expect(told(table, name, "A")).toBe("outside");
    }
    expect(told(table, "web", "AAAA")).toEqual(["fd00::3"]);
  });

  test("with dots in them and in their network's are found", () => {
    const table = new NameTable();
    const at = { networkName: "a.net" };
    table.set(endpoint({ endpointId: "1", names: ["x.y"], ipv4: "10.0.0.2", ...at }));
    expect(told(table, "x.y", "A")).toEqual(["10.0.0.2"]);
    expect(told(table, "x.y.a.net", "A")).toEqual(["10.0.0.2"]);
    expect(told(table, "x.y.net", "A")).toBe("outside");
  });

  test("without a record of the type are known all the same: no records, and no error", () => {
    const table = twoContainers();
    for (const type of ["MX", "SRV", "TXT", "UNKNOWN_65"]) expect(told(table, "web", type)).toEqual([]);
    expect(told(table, "client", "AAAA")).toEqual([]);
    expect(told(table, "web", "ANY")).toEqual(["10.0.0.3", "fd00::3"]);
  });

  test("are seen by the sandboxes on their networks alone", () => {
    const table = twoContainers();
    table.set(endpoint({ endpointId: "3", networkId: "n2", networkName: "other", names: ["db"], ipv4: "10.1.0.2" }));
    expect(told(table, "db", "A")).toBe("outside");
    expect(told(table, "web", "A", { sandboxId: "s3" })).toBe("outside");
    expect(told(table, "web", "A", { sandboxId: "nobody" })).toBe("outside");
    expect(told(table, "2.0.1.10.in-addr.arpa", "PTR")).toBe("outside");
    const both = { sandboxId: "s1", networkId: "n2", networkName: "other", names: ["client"], ipv4: "10.1.0.9" };
    table.set(endpoint({ endpointId: "4", ...both }));
    expect(told(table, "db", "A")).toEqual(["10.1.0.2"]);
    // Known on both networks: the first that it came to, unless it says which.
    expect(told(table, "client", "A")).toEqual(["10.0.0.2"]);
    expect(told(table, "client.other", "A")).toEqual(["10.1.0.9"]);
  });

  test("are gone with their endpoint, and are somebody else's when told so", () => {
    const table = twoContainers();
    table.set(endpoint({ endpointId: "3", names: ["web"], ipv4: "10.0.0.4" }));
    table.remove("2");
    expect(told(table, "web", "A")).toEqual(["10.0.0.4"]);
    expect(told(table, "www", "A")).toBe("outside");
    table.set(endpoint({ endpointId: "3", names: ["renamed"], ipv4: "10.0.0.3" }));
    expect(told(table, "web", "A")).toBe("outside");
    expect(told(table, "3.0.0.10.in-addr.arpa", "PTR")).toEqual(["renamed.mynet"]);
    table.remove("1");
    table.remove("3");
    table.remove("3");
    expect(table.isEmpty).toBe(true);
    expect(() => table.set(endpoint({ endpointId: "5", ipv4: "10.0.0" }))).toThrow('"10.0.0" is not an IP address');
  });

  test("of links are seen by one sandbox, before a name that is the same, and whether the other runs or not", () => {
    const table = twoContainers();
    const links = [
      { alias: "DB", containerId: "c2" },
      { alias: "later", containerId: "c9" },
      { alias: "client", containerId: "c2" },
    ];
    table.set(endpoint({ endpointId: "3", names: ["linker"], ipv4: "10.0.0.4", links }));
    expect(told(table, "db", "A", { sandboxId: "s3" })).toEqual(["10.0.0.3"]);
    expect(told(table, "client", "A", { sandboxId: "s3" })).toEqual(["10.0.0.3"]);
    expect(told(table, "db", "A")).toBe("outside");
    expect(told(table, "later", "A", { sandboxId: "s3" })).toBe("outside");
    table.set(endpoint({ endpointId: "9", names: ["nine"], ipv4: "10.0.0.9" }));
    expect(told(table, "later.mynet", "A", { sandboxId: "s3" })).toEqual(["10.0.0.9"]);
  });

  test("without a dot stay inside where they are only to be completed", () => {
    const table = twoContainers();
    expect(told(table, "nowhere", "A", { keepsSingleLabels: true })).toEqual([]);
    expect(told(table, "nowhere", "MX", { keepsSingleLabels: true })).toBe("outside");
    expect(told(table, "no.where", "A", { keepsSingleLabels: true })).toBe("outside");
  });

  test("that text does not hold are nobody's", () => {
    const table = twoContainers();
    table.set(endpoint({ endpointId: "3", names: ["a.b", "\ufffd"], ipv4: "10.0.0.4" }));
    const named = (...label: number[]) => Uint8Array.of(0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...label, 0, 0, 1, 0, 1);
    // One label of "a.b", and a byte that is no UTF-8.
    expect(answerTo(table, named(3, 0x61, 0x2e, 0x62))).toBe("outside");
    expect(answerTo(table, named(1, 0xff))).toBe("outside");
    expect(told(table, "a.b", "A")).toEqual(["10.0.0.4"]);
  });
});

describe("addresses", () => {
  test("lead back to the name with its network's", () => {
    const table = twoContainers();
    expect(told(table, "3.0.0.10.in-addr.arpa", "PTR")).toEqual(["web.mynet"]);
    expect(told(table, "3.0.0.10.IN-ADDR.ARPA.", "PTR")).toEqual(["web.mynet"]);
    const nibbles = `3${".0".repeat(27)}.0.0.d.f`;
    expect(told(table, `${nibbles}.ip6.arpa`, "PTR")).toEqual(["web.mynet"]);
    expect(told(table, "3.0.0.10.in-addr.arpa", "A")).toEqual([]);
    expect(told(table, "0.0.10.in-addr.arpa", "PTR")).toBe("outside");
  });

  test("are read from names that are whole and nothing else", () => {
    expect(reverseKey("1.2.3.4.in-addr.arpa")).toBe("04030201");
    for (const name of ["1.2.3.in-addr.arpa", "1.2.3.256.in-addr.arpa", "1.2.3.04.in-addr.arpa", "in-addr.arpa"]) {
      expect(reverseKey(name)).toBeUndefined();
    }
    expect(reverseKey(`1${".0".repeat(30)}.ip6.arpa`)).toBeUndefined();
    expect(reverseKey(`11${".0".repeat(31)}.ip6.arpa`)).toBeUndefined();
  });

  test("of a name that several have are all told, each first in its turn", () => {
    const table = new NameTable();
    for (let n = 1; n <= 3; n++)
      table.set(endpoint({ endpointId: `${n}`, names: [`c${n}`, "all"], ipv4: `10.0.0.${n}` }));
    const packet = question("all", "A");
    const reply = replyTo(packet, asker, table);
    if (reply?.kind !== "own") throw new Error("not known");
    const orders = [1, 2, 3, 4].map(() =>
      decode(Buffer.from(reply.answer.next(packet)))
        .answers!.map((record) => (record as { data: string }).data.at(-1))
        .join(""),
    );
    expect(orders).toEqual(["123", "231", "312", "123"]);
  });
});

describe("answers", () => {
  test("have the id, the question as it was written, and the flags of one who knows", () => {
    const answer = answerTo(twoContainers(), question("wEb", "A", [opt(1232)]));
    if (answer === "outside") throw new Error("not known");
    expect(answer).toMatchObject({ id: 7, flag_qr: true, flag_aa: true, flag_rd: true, flag_ra: true, flag_tc: false });
    expect(answer.questions).toMatchObject([{ name: "wEb", type: "A" }]);
    expect(answer.answers).toMatchObject([{ name: "wEb", ttl: 5 }]);
    expect(answer.additionals).toMatchObject([{ type: "OPT", udpPayloadSize: 4096 }]);
  });

  test("that are too long for UDP say so and tell what fits; over TCP all is told", () => {
    const table = new NameTable();
    for (let n = 0; n < 500; n++) {
      table.set(endpoint({ endpointId: `${n}`, names: ["all"], ipv4: `10.0.${n >> 8}.${n & 255}`, sandboxId: "s1" }));
    }
    for (const [additionals, bytesMax] of [
      [[], 512],
      [[opt(1232)], 1232],
      [[opt(100)], 512],
      [[opt(65_535)], 4096],
    ] as const) {
      const packet = question("all", "A", [...additionals]);
      const reply = replyTo(packet, asker, table);
      if (reply?.kind !== "own") throw new Error("not known");
      const seen = new Set<string>();
      for (let n = 0; n < 500; n++) {
        const bytes = reply.answer.next(packet);
        expect(bytes.length).toBeLessThanOrEqual(bytesMax);
        expect(bytes.length).toBeGreaterThan(bytesMax - 19);
        const answer = decode(Buffer.from(bytes));
        expect(answer.flag_tc).toBe(true);
        seen.add((answer.answers![0] as { data: string }).data);
      }
      expect(seen.size).toBe(500);
    }
    expect(told(table, "all", "A", { overTcp: true })).toHaveLength(500);
  });

  test("to malformed packets are errors, or none", () => {
    const table = twoContainers();
    const good = question("web", "A");
    const change = (at: number, ...bytes: number[]) => {
      const packet = Uint8Array.from(good);
      packet.set(bytes, at);
      return packet;
    };
    const rcode = (packet: Uint8Array) => {
      const answer = answerTo(table, packet);
      if (answer === "outside") throw new Error("asked outside");
      return (answer.flags! & 15) + 16 * ((answer.additionals![0] as { extendedRcode?: number })?.extendedRcode ?? 0);
    };
    expect(replyTo(good.subarray(0, 11), asker, table)).toBeUndefined();
    // An answer.
    expect(replyTo(change(2, 0x80), asker, table)).toBeUndefined();
    expect(rcode(change(2, 0x28))).toBe(4);
    // Counts of what is not there: no, two and 65,535 questions, answers, additional records.
    for (const [at, high, low] of [
      [4, 0, 0],
      [4, 0, 2],
      [4, 255, 255],
      [6, 255, 255],
      [8, 0, 1],
      [10, 255, 255],
      [10, 0, 1],
    ] as const) {
      expect(rcode(change(at, high, low))).toBe(1);
    }
    // A pointer to itself, to the header, a label of an unknown kind, one that is longer than the packet.
    for (const bytes of [[0xc0, 0x0c], [0xc0, 0x00], [0x40], [63]]) expect(rcode(change(12, ...bytes))).toBe(1);
    expect(rcode(good.subarray(0, good.length - 1))).toBe(1);
    expect(rcode(question("web", "A", [opt(512), opt(512)]))).toBe(1);
    expect(rcode(question("web", "A", [opt(512, 1)]))).toBe(16);
    expect(rcode(question("web", "AXFR"))).toBe(5);
    const long = Uint8Array.from([
      ...good.subarray(0, 12),
      ...new Array(5).fill([63, ...new Array(63).fill(97)]).flat(),
      0,
      0,
      1,
      0,
      1,
    ]);
    expect(rcode(long)).toBe(1);
  });

  test("to any bytes at all can be read, and are never longer than the asker takes", () => {
    const table = twoContainers();
    const header = fc.constantFrom(
      [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1],
      [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 4],
    );
    const label = fc.oneof(
      fc.constant([3, 0x77, 0x65, 0x62]),
      fc.uint8Array({ maxLength: 63 }).map((bytes) => [bytes.length, ...bytes]),
    );
    const likely = fc
      .tuple(header, fc.array(label, { maxLength: 6 }), fc.uint8Array({ maxLength: 60 }))
      .map(([head, labels, rest]) => Uint8Array.from([...head, ...labels.flat(), 0, 0, 1, 0, 1, ...rest]));
    const good = question("web", "A", [opt(1232)]);
    const flipped = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }).map((changes) => {
      const packet = Uint8Array.from(good);
      for (const [at, value] of changes) packet[at] = value;
      return packet;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), likely, flipped), fc.boolean(), (packet, overTcp) => {
        const reply = replyTo(packet, { ...asker, overTcp }, table);
        if (reply === undefined || reply.kind === "outside") return;
        const bytes = reply.kind === "own" ? reply.answer.next(packet) : reply.answer;
        const answer = decode(Buffer.from(bytes));
        expect(answer.flag_qr).toBe(true);
        expect(bytes.subarray(0, 2)).toEqual(packet.subarray(0, 2));
        const query = readQuery(packet)!;
        expect(bytes.length).toBeLessThanOrEqual(answerBytesMax(query, overTcp));
        expect(bytes.subarray(12, query.questionEnd)).toEqual(packet.subarray(12, query.questionEnd));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("answers from elsewhere", () => {
  const asked = question("Example.org", "A");
  const query = readQuery(asked) as Query;
  const answer = (overrides: object = {}) =>
    encode({ type: "response", id: 99, flags: 0x180, questions: [{ name: "example.org", type: "A" }], ...overrides });

  test("count when they have the id and the question, and are answers", () => {
    const counts = (packet: Uint8Array) => isAnswerTo(packet, asked, query.questionEnd, 99);
    expect(counts(answer())).toBe(true);
    expect(counts(answer({ id: 98 }))).toBe(false);
    expect(counts(answer({ type: "query" }))).toBe(false);
    expect(counts(answer({ questions: [{ name: "example.com", type: "A" }] }))).toBe(false);
    expect(counts(answer({ questions: [{ name: "example.org", type: "AAAA" }] }))).toBe(false);
    expect(counts(answer({ questions: [] }))).toBe(false);
    expect(counts(answer().subarray(0, 11))).toBe(false);
  });

  test("are cut where the asker has no room for them", () => {
    const answers = Array.from({ length: 60 }, (_, n) => ({
      name: "example.org",
      type: "A" as const,
      data: `10.9.0.${n}`,
    }));
    const long = answer({ answers });
    expect(fitAnswer(long, query, true)).toBe(long);
    const cut = decode(Buffer.from(fitAnswer(long, query, false)));
    expect(cut).toMatchObject({
      id: 99,
      flag_tc: true,
      flag_qr: true,
      answers: [],
      questions: [{ name: "example.org" }],
    });
  });
});
