import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ClientFrame, clientFrame, serverFrames } from "../testing/websocket-client.ts";
import { encodeClose, encodeServerFrame, FrameDecoder, opcode, WebSocketViolation } from "./frames.ts";

interface Decoded {
  data: Buffer;
  pings: string[];
  close: number | undefined;
}

/** @param cuts where the bytes are cut into chunks. */
function decode(bytes: Uint8Array, cuts: number[] = []): Decoded {
  const data: Uint8Array[] = [];
  const decoded: Omit<Decoded, "data"> = { pings: [], close: undefined };
  const decoder = new FrameDecoder({
    data: (piece) => data.push(Uint8Array.from(piece)),
    ping: (payload) => decoded.pings.push(Buffer.from(payload).toString()),
    close: (code) => {
      decoded.close = code;
    },
  });
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...places, bytes.length]) {
    decoder.push(Uint8Array.from(bytes.subarray(from, to)));
    from = to;
  }
  return { ...decoded, data: Buffer.concat(data) };
}

function frames(...list: ClientFrame[]): Uint8Array {
  return Buffer.concat(list.map(clientFrame));
}

const { continuation, text, binary, close, ping, pong } = opcode;

describe("a client's frames", () => {
  test("give their payload whole, however messages are fragmented and packets cut, with control frames between", () => {
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(0, 125, 126, 127, 65535, 65536).map((length) => new Uint8Array(length).fill(0x5a)),
    );
    const message = fc.tuple(fc.constantFrom(text, binary), fc.array(payload, { minLength: 1, maxLength: 4 }));
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 8 }), (messages, cuts) => {
        const list = messages.flatMap(([kind, pieces]) =>
          pieces.flatMap((piece, index): ClientFrame[] => [
            { opcode: index === 0 ? kind : continuation, payload: piece, last: index === pieces.length - 1 },
            { opcode: ping, payload: String(index) },
            { opcode: pong, payload: "unasked" },
          ]),
        );
        const decoded = decode(frames(...list), cuts);
        expect(decoded.data.equals(Buffer.concat(messages.flatMap(([, pieces]) => pieces)))).toBe(true);
        expect(decoded.pings).toEqual(messages.flatMap(([, pieces]) => pieces.map((_, index) => String(index))));
      }),
      { numRuns: 60 },
    );
  });

  test("of RFC 6455's own examples are read", () => {
    expect(decode(Buffer.from("818537fa213d7f9f4d5158", "hex")).data.toString()).toBe("Hello");
    expect(decode(Buffer.from("898537fa213d7f9f4d5158", "hex")).pings).toEqual(["Hello"]);
  });

  test.each([
    ["", 1005],
    ["\x03\xe8", 1000],
    ["\x03\xe9bye", 1001],
    ["\x0b\xb8", 3000],
  ])("close with %j: %d, and nothing after it is looked at", (payload, code) => {
    const bytes = frames({ opcode: close, payload: Buffer.from(payload, "latin1") }, { opcode: 3, payload: "x" });
    expect(decode(bytes).close).toBe(code);
  });

  const hostile: [string, Uint8Array, number][] = [
    ["unmasked", clientFrame({ opcode: binary, payload: "x", masked: false }), 1002],
    ["a reserved bit", clientFrame({ opcode: binary, payload: "x", reserved: 4 }), 1002],
    ["a reserved opcode", clientFrame({ opcode: 3 }), 1002],
    ["a reserved control opcode", clientFrame({ opcode: 11 }), 1002],
    ["a fragment of nothing", clientFrame({ opcode: continuation, payload: "x" }), 1002],
    ["a message within another", frames({ opcode: text, last: false }, { opcode: text }), 1002],
    ["a ping in fragments", clientFrame({ opcode: ping, last: false }), 1002],
    ["a ping of 126 bytes", clientFrame({ opcode: ping, payload: "x".repeat(126) }), 1002],
    ["half a close code", clientFrame({ opcode: close, payload: "x" }), 1002],
    ["a close code that is never sent", clientFrame({ opcode: close, payload: Buffer.from([3, 0xed]) }), 1002],
    ["a length of 125 in two bytes", Buffer.from("82fe007d00000000", "hex"), 1002],
    ["a length of 65535 in eight bytes", Buffer.from("82ff000000000000ffff00000000", "hex"), 1002],
    ["a length of 2^63", Buffer.from("82ff800000000000000000000000", "hex"), 1002],
    ["a length of 2^63-1", Buffer.from("82ff7fffffffffffffff00000000", "hex"), 1009],
  ];
  test.each(hostile)("that are wrong are refused: %s", (_what, bytes, code) => {
    for (const cuts of [[], [...bytes.keys()]]) {
      let violation: unknown;
      try {
        decode(bytes, cuts);
      } catch (error) {
        violation = error;
      }
      expect(violation).toBeInstanceOf(WebSocketViolation);
      expect((violation as WebSocketViolation).closeCode).toBe(code);
    }
  });

  test("that promise a petabyte take no more memory than what has come of it", () => {
    const head = Buffer.from("82ff000400000000000000000000", "hex");
    expect(decode(Buffer.concat([head, Buffer.from("only this")])).data.toString()).toBe("only this");
  });
});

test("a server's frames are read back, of every size of header", () => {
  for (const length of [0, 1, 125, 126, 65535, 65536]) {
    const payload = Buffer.alloc(length, 0x61);
    expect(serverFrames(Buffer.from(encodeServerFrame(binary, payload)))).toEqual([{ opcode: binary, payload }]);
  }
  expect(Buffer.from(encodeClose(1000)).toString("hex")).toBe("880203e8");
  expect(Buffer.from(encodeClose(1005)).toString("hex")).toBe("8800");
});
