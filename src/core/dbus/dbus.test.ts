import { describe, expect, test } from "bun:test";
import { DbusConnection, type Transport } from "./connection.ts";
import { marshal, unmarshal } from "./marshal.ts";
import { decodeMessage, encodeMessage, messageLength } from "./message.ts";
import { parseVariantText } from "./text.ts";
import { type DbusValue, parseSignature, Variant } from "./types.ts";

const hex = (bytes: Uint8Array): string => bytes.toHex().replace(/(..)(?=.)/g, "$1 ");
const fromHex = (text: string): Uint8Array => Uint8Array.fromHex(text.replaceAll(" ", ""));

describe("marshalling", () => {
  test("gives the bytes of the specification's examples", () => {
    // "foo", "+", "bar": the example of strings, little-endian.
    expect(hex(marshal("sss", ["foo", "+", "bar"]))).toBe(
      "03 00 00 00 66 6f 6f 00 01 00 00 00 2b 00 00 00 03 00 00 00 62 61 72 00",
    );
    // The array that holds the 64-bit integer 5, there in big-endian.
    const bigEndian = fromHex("00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 05");
    expect(unmarshal("ax", bigEndian, false)).toEqual([[5n]]);
    expect(hex(marshal("ax", [[5n]]))).toBe("08 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00");
    // A variant that holds the integer 42.
    expect(hex(marshal("v", [new Variant("i", 42)]))).toBe("01 69 00 00 2a 00 00 00");
    // The padding before an empty array's first element is there; its length is 0.
    expect(hex(marshal("a(st)", [[]]))).toBe("00 00 00 00 00 00 00 00");
  });

  const samples: [string, DbusValue[]][] = [
    ["ynqiuxt", [255, -32768, 65535, -2147483648, 4294967295, -(2n ** 63n), 2n ** 64n - 1n]],
    ["bdsogh", [true, 0.1, "ü\u{1f980}", "/org/freedesktop/systemd1", "a{sv}", 3]],
    ["ayas", [Uint8Array.of(1, 2, 3), ["a", "", "c"]]],
    ["a{sv}(yt)", [new Map([["x", new Variant("as", ["y"])]]) as DbusValue, [1, 2n]]],
    ["ya(sa(uv))", [7, [["n", [[1, new Variant("v", new Variant("b", false))]]]]]],
    ["aaau", [[[[1], []], [[2, 3]]]]],
    ["s", ["x".repeat(100_000)]],
  ];
  test.each(samples)("brings values of %s back as they were", (signature, values) => {
    expect(unmarshal(signature, marshal(signature, values))).toEqual(values);
  });

  test.each([
    ["y", 256],
    ["y", -1],
    ["u", 1.5],
    ["t", -1n],
    ["b", 1],
    ["s", "a\0b"],
    ["s", "\ud800"],
    ["o", "no/path"],
    ["g", "a"],
    ["as", "x"],
    ["(su)", ["x"]],
    ["v", "x"],
  ] as [string, DbusValue][])("refuses a value that is no %s: %p", (signature, value) => {
    expect(() => marshal(signature, [value])).toThrow();
  });

  test.each([
    "a",
    "(",
    "()",
    "{sv}",
    "a{vs}",
    "a{s}",
    "a{svv}",
    "z",
    `${"a".repeat(33)}y`,
    "(".repeat(33),
    "y".repeat(256),
  ])("takes %s for no signature", (signature) => {
    expect(() => parseSignature(signature)).toThrow("D-Bus signature");
  });

  test.each([
    ["u", "01 00 00", "ends too early"],
    ["s", "ff ff ff ff 00", "ends too early"],
    ["s", "01 00 00 00 61 62", "NUL"],
    ["s", "01 00 00 00 ff 00", "not UTF-8"],
    ["b", "02 00 00 00", "no boolean"],
    ["o", "01 00 00 00 61 00", "no object path"],
    ["as", "ff ff ff 7f", "an array of"],
    ["as", "08 00 00 00 00 00 00 00", "longer than the message"],
    ["au", "05 00 00 00 01 00 00 00 02 00 00 00", "does not end with it"],
    ["yu", "01 01 00 00 01 00 00 00", "padding"],
    ["u", "01 00 00 00 00", "too many"],
    ["v", "02 75 75 00 00 00 00 00", "types where there must be one"],
    ["v", "01 76 00 ".repeat(70), "nested too deep"],
  ])("refuses %s out of %s", (signature, bytes, reason) => {
    expect(() => unmarshal(signature, fromHex(bytes))).toThrow(reason);
  });

  test("survives bytes of every kind: an error, or values that are these bytes", () => {
    const seed = Date.now() % 1e6;
    console.log(`seed ${seed}`);
    let state = seed;
    const next = (): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state >> 16;
    };
    const template = marshal("a{sv}ayso", [
      new Map([["k", new Variant("a(su)", [["x", 1]])]]),
      Uint8Array.of(1),
      "t",
      "/",
    ]);
    for (let round = 0; round < 3000; round++) {
      const bytes = Uint8Array.from(template);
      for (let change = 0; change < 3; change++) bytes[next() % bytes.length] = next() & 0xff;
      let values: DbusValue[];
      try {
        values = unmarshal("a{sv}ayso", bytes);
      } catch (error) {
        expect((error as { code?: string }).code).toBe("corrupt");
        continue;
      }
      expect(values).toHaveLength(4);
    }
  });
});

describe("a message", () => {
  const call = { type: 1, serial: 9, flags: 0, path: "/a", interface: "b.C", member: "D", destination: "e.F" };

  test("is the same after the way through its bytes, and its length is known from the first 16", () => {
    const bytes = encodeMessage({ ...call, signature: "su", body: ["x", 5] });
    expect(messageLength(bytes.subarray(0, 15))).toBeUndefined();
    expect(messageLength(bytes.subarray(0, 16))).toBe(bytes.length);
    expect(decodeMessage(bytes)).toEqual({ ...call, signature: "su", body: ["x", 5] });
  });

  test("is refused with a reason when it is broken", () => {
    const bytes = encodeMessage({ ...call, body: [] });
    const changed = (at: number, value: number) => Uint8Array.from(bytes).fill(value, at, at + 1);
    expect(() => messageLength(changed(0, 0x78))).toThrow("byte order");
    expect(() => messageLength(changed(3, 2))).toThrow("protocol version 2");
    expect(() => messageLength(changed(15, 0x7f))).toThrow("bytes long");
    expect(() => decodeMessage(changed(8, 0))).toThrow("serial 0");
    expect(() => decodeMessage(encodeMessage({ ...call, path: "", body: [] }))).toThrow("it has no path");
  });
});

describe("GVariant's text", () => {
  test.each([
    ["5", "i", 5],
    ["-0x10", "i", -16],
    ["1.5", "d", 1.5],
    ["1e3", "d", 1000],
    ["true", "b", true],
    [`'it\\'s'`, "s", "it's"],
    [`"a\\u00fc\\n"`, "s", "aü\n"],
    ["uint64 18446744073709551615", "t", 2n ** 64n - 1n],
    ["byte 0xff", "y", 255],
    ["objectpath '/x'", "o", "/x"],
    ["['a', 'b']", "as", ["a", "b"]],
    ["@as []", "as", []],
    ["[1, 2.5]", "ad", [1, 2.5]],
    ["[uint64 1, 2]", "at", [1n, 2n]],
    ["('x', 1)", "(si)", ["x", 1]],
    ["{'k': <5>}", "a{sv}", new Map([["k", new Variant("i", 5)]])],
    ["@a(st) [('/dev/x', 3)]", "a(st)", [["/dev/x", 3n]]],
  ] as [string, string, DbusValue][])("%s is of the type %p", (text, signature, value) => {
    expect(parseVariantText(text)).toEqual(new Variant(signature, value));
  });

  test.each([
    ["", '"": empty'],
    ["word", "text stands in quotes"],
    ["'open", "unexpected"],
    ["[]", "nothing tells the type"],
    ["[1, 'x']", 'not of the type "i"'],
    ["5 6", 'unexpected "6"'],
    ["[1", '"," is missing'],
    ["byte 256", '256 is not of the type "y"'],
    ["uint32 -1", '-1 is not of the type "u"'],
    ["uint64 1.5", 'not of the type "t"'],
    ["objectpath 'x'", 'not of the type "o"'],
    ["@zz 5", "@zz is no type"],
  ])("refuses %s", (text, reason) => {
    expect(() => parseVariantText(text)).toThrow(reason);
  });
});

/** A peer that says what it is told to, and remembers what it heard. */
class Script implements Transport {
  heard = "";
  closed = false;
  readonly #says: (Uint8Array | string)[];

  constructor(...says: (string | Uint8Array)[]) {
    this.#says = says.map((part) =>
      typeof part === "string" && part !== "silence" ? Buffer.from(part) : part,
    ) as never;
  }

  send(bytes: Uint8Array): void {
    this.heard += Buffer.from(bytes).toString("latin1");
  }

  receive(): Uint8Array | undefined {
    const next = this.#says.shift();
    if (next === "silence") return undefined;
    return next instanceof Uint8Array ? next : new Uint8Array();
  }

  close(): void {
    this.closed = true;
  }
}

describe("a connection", () => {
  const peer = { isBus: false };
  const reply = (replySerial: number, body: DbusValue[] = [], signature = "") =>
    encodeMessage({ type: 2, serial: 1, replySerial, ...(signature && { signature }), body });
  const method = { path: "/", interface: "x.Y", member: "Z" };

  test("authenticates as whoever the kernel says this is", () => {
    const script = new Script("DA", "TA\r\n", "OK 1234\r\n");
    DbusConnection.open(script, "peer", peer);
    expect(script.heard).toBe("\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
  });

  test.each([
    ["REJECTED EXTERNAL\r\n", "does not accept this user"],
    ["HTTP/1.1 400 Bad Request\r\n", "answered the handshake"],
    ["x".repeat(20_000), "sent a line without end"],
    ["", "closed the connection before the handshake"],
    ["silence", "no answer in time: the handshake"],
  ])("that is answered with what is no handshake says so, and closes: %#", (answer, reason) => {
    const script = new Script(answer as string);
    expect(() => DbusConnection.open(script, "the peer", peer)).toThrow(`the peer: ${reason}`);
    expect(script.closed).toBe(true);
  });

  test("puts together what comes in pieces, passes over other replies, and keeps signals", () => {
    const signal = encodeMessage({
      type: 4,
      serial: 5,
      path: "/",
      interface: "a.B",
      member: "C",
      signature: "s",
      body: ["!"],
    });
    const wanted = reply(1, ["yes"], "s");
    const script = new Script("OK\r\n", Buffer.concat([reply(77), signal, wanted.subarray(0, 3)]), wanted.subarray(3));
    const connection = DbusConnection.open(script, "peer", peer);
    expect(connection.call(method)).toEqual(["yes"]);
    expect(connection.waitForSignal("C", 10, ({ member }) => member === "C").body).toEqual(["!"]);
  });

  test("throws the other side's error with its name", () => {
    const error = encodeMessage({
      type: 3,
      serial: 2,
      replySerial: 1,
      errorName: "a.B.No",
      signature: "s",
      body: ["not so"],
    });
    const connection = DbusConnection.open(new Script("OK\r\n", error), "peer", peer);
    expect(() => connection.call(method)).toThrow(expect.objectContaining({ message: "not so", errorName: "a.B.No" }));
  });

  test.each([
    ["garbage that is no message", "peer: D-Bus message: the byte order"],
    ["", "peer: closed the connection before the reply to Z"],
    ["silence", "peer: no answer in time: the reply to Z"],
  ])("that is answered with %p says what it waited for", (answer, reason) => {
    const connection = DbusConnection.open(new Script("OK\r\n", answer), "peer", peer);
    expect(() => connection.call(method)).toThrow(reason);
  });
});
