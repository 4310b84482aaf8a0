import { describe, expect, test } from "bun:test";
import { NetlinkError } from "./error.ts";
import { Attributes, decodeMessages, Message, NLM_F_ACK, NLM_F_CREATE } from "./message.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("netlink messages", () => {
  test("carry a header, the family's structure and attributes padded to four bytes", () => {
    const message = new Message(16, NLM_F_CREATE, { call: "TEST" })
      .structure(new Uint8Array([1, 2, 3, 4, 5]))
      .string(3, "lo")
      .u16(4, 0x1234)
      .u32be(5, 0xfffffffe);
    expect(hex(message.finish(7, NLM_F_ACK))).toBe(
      ["30000000", "1000", "0504", "07000000", "00000000", "0102030405000000"].join("") +
        ["07000300", "6c6f0000"].join("") +
        ["06000400", "34120000"].join("") +
        ["08000500", "fffffffe"].join(""),
    );
  });

  test("nest attributes, with the flag or without, and keep the outer length", () => {
    const message = new Message(1, 0, { call: "TEST" })
      .nest(18, (outer) => outer.string(1, "veth").nest(2, (inner) => inner.u8(9, 1)))
      .nest(7, (plain) => plain.flag(3), false);
    const body = message.finish(1).subarray(16);
    expect(hex(body)).toBe(
      "1c001280" + "09000100" + "7665746800000000" + "0c000280" + "0500090001000000" + "08000700" + "04000300",
    );
    const attributes = new Attributes(body);
    expect(attributes.nested(18)?.string(1)).toBe("veth");
    expect(attributes.nested(18)?.nested(2)?.u8(9)).toBe(1);
    expect(attributes.nested(7)?.has(3)).toBe(true);
  });

  test("grow beyond their first buffer", () => {
    const message = new Message(1, 0, { call: "TEST" });
    for (let i = 0; i < 1000; i++) message.u32(i, i);
    const attributes = new Attributes(message.finish(1), 16);
    expect(attributes.entries.length).toBe(1000);
    expect(attributes.u32(999)).toBe(999);
  });

  test("are read back in every width", () => {
    const message = new Message(1, 0, { call: "TEST" })
      .u16(1, 65535)
      .u32(2, 0xffffffff)
      .u64be(3, 2n ** 63n);
    const attributes = new Attributes(message.finish(1), 16);
    expect(attributes.u16(1)).toBe(65535);
    expect(attributes.u32(2)).toBe(0xffffffff);
    expect(attributes.u32be(2)).toBe(0xffffffff);
    expect(attributes.u64be(3)).toBe(2n ** 63n);
    expect(attributes.u32(1)).toBeUndefined();
    expect(attributes.string(9)).toBeUndefined();
  });

  test("several in one buffer are cut apart", () => {
    const one = new Message(1, 0, { call: "TEST" }).string(1, "abc").finish(1);
    const two = new Message(2, 0, { call: "TEST" }).finish(2);
    const replies = decodeMessages(Buffer.concat([one, two]));
    expect(replies.map(({ type, sequence }) => [type, sequence])).toEqual([
      [1, 1],
      [2, 2],
    ]);
  });

  test("with a length that leaves the buffer are refused, and so are attributes", () => {
    const bytes = new Message(1, 0, { call: "TEST" }).u32(1, 1).finish(1).slice();
    bytes[0] = 200;
    expect(() => decodeMessages(bytes)).toThrow("netlink message of 200 bytes at 0");
    expect(() => new Attributes(new Uint8Array([3, 0, 1, 0]))).toThrow("netlink attribute of 3 bytes");
    expect(() => new Attributes(new Uint8Array([9, 0, 1, 0, 0, 0, 0, 0]))).toThrow("netlink attribute of 9 bytes");
  });
});

describe("refusals", () => {
  test("name the request, its object, the errno and the kernel's own words", () => {
    const error = new NetlinkError({ call: "RTM_NEWLINK", object: "tsd0" }, 22, "mtu greater than device maximum");
    expect(error.message).toBe("RTM_NEWLINK tsd0: EINVAL (invalid argument): mtu greater than device maximum");
    expect(error).toMatchObject({ syscall: "RTM_NEWLINK", errno: "EINVAL", path: "tsd0" });
  });
});
