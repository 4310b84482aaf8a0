import { expect, test } from "bun:test";
import { encodeFrame, frameType } from "../api/schema/run-protocol.ts";
import { FrameOutput } from "./attached.ts";

test("frames are written by stream, those of one stream together, however they were cut", () => {
  const frames = Buffer.concat([
    encodeFrame(frameType.stdout, "one\n"),
    encodeFrame(frameType.stdout, ""),
    encodeFrame(frameType.stdout, "two\n"),
    encodeFrame(frameType.stderr, "wrong\n"),
    encodeFrame(frameType.stdout, "three"),
  ]);
  for (let size = 1; size <= frames.length; size++) {
    const written: [number, string][] = [];
    const output = new FrameOutput((descriptor, bytes) => written.push([descriptor, Buffer.from(bytes).toString()]));
    for (let at = 0; at < frames.length; at += size) output.push(frames.subarray(at, at + size));
    const of = (stream: number) => written.filter(([descriptor]) => descriptor === stream).map(([, text]) => text);
    expect([of(1).join(""), of(2).join("")]).toEqual(["one\ntwo\nthree", "wrong\n"]);
    if (size === frames.length)
      expect(written).toEqual([
        [1, "one\ntwo\n"],
        [2, "wrong\n"],
        [1, "three"],
      ]);
  }
});
