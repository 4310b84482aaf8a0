import { describe, expect, test } from "bun:test";
import { encodeFrame, FrameReader, frameBytesMax, frameType } from "./run-protocol.ts";

function collect(gather?: (type: number) => boolean) {
  const frames: [number, string][] = [];
  const reader = new FrameReader((type, payload) => frames.push([type, Buffer.from(payload).toString()]), gather);
  return { frames, reader };
}

describe("frames", () => {
  test("are Docker's eight bytes of header and the payload", () => {
    expect(Buffer.from(encodeFrame(frameType.stderr, "abc")).toString("hex")).toBe("0200000000000003616263");
    expect(Buffer.from(encodeFrame(frameType.endOfStdin)).toString("hex")).toBe("0900000000000000");
  });

  test("come out whole however the bytes were cut", () => {
    const bytes = Buffer.concat([
      encodeFrame(frameType.created, '{"Id":"x"}'),
      encodeFrame(frameType.detach),
      encodeFrame(frameType.resize, '{"h":1,"w":2}'),
    ]);
    for (let size = 1; size <= bytes.length; size++) {
      const { frames, reader } = collect();
      for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
      expect(frames).toEqual([
        [frameType.created, '{"Id":"x"}'],
        [frameType.detach, ""],
        [frameType.resize, '{"h":1,"w":2}'],
      ]);
      expect(reader.idle).toBe(true);
    }
  });

  test("of data are delivered in the pieces they arrive in", () => {
    const { frames, reader } = collect();
    const bytes = encodeFrame(frameType.stdout, "hello");
    reader.push(bytes.subarray(0, 10));
    expect(frames).toEqual([[frameType.stdout, "he"]]);
    expect(reader.idle).toBe(false);
    reader.push(bytes.subarray(10));
    expect(frames).toEqual([
      [frameType.stdout, "he"],
      [frameType.stdout, "llo"],
    ]);
    expect(reader.idle).toBe(true);
  });

  test("survive the reuse of the buffer they came in", () => {
    const { frames, reader } = collect();
    const bytes = Uint8Array.from(encodeFrame(frameType.created, "abcdef"));
    const first = bytes.slice(0, 11);
    reader.push(first);
    first.fill(0x7a);
    reader.push(bytes.slice(11));
    expect(frames).toEqual([[frameType.created, "abcdef"]]);
  });

  test("that are no frames, or too long to be gathered, are refused", () => {
    expect(() => collect().reader.push(Buffer.from("HTTP/1.1 400 Bad"))).toThrow("bad header");
    const long = Buffer.from(encodeFrame(frameType.resize));
    long.writeUInt32BE(frameBytesMax + 1, 4);
    expect(() => collect().reader.push(long)).toThrow("too long");
  });
});
