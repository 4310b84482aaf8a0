import { describe, expect, test } from "bun:test";
import { decodeResponse, encodeFeatureCheck, encodeNotified, encodeRequest } from "./messages.ts";
import { MessageReader, MessageWriter } from "./protobuf.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

describe("the wire format", () => {
  test("is that of the documentation's examples", () => {
    // protobuf.dev/programming-guides/encoding: a = 150; b = "testing"; c { a = 150 }.
    expect(hex(new MessageWriter().integer(1, 150).finish())).toBe("089601");
    expect(hex(new MessageWriter().text(2, "testing").finish())).toBe("120774657374696e67");
    expect(hex(new MessageWriter().message(3, new MessageWriter().integer(1, 150)).finish())).toBe("1a03089601");
  });
  test("extends negative numbers to 64 bits, and gives them back", () => {
    const encoded = new MessageWriter().integer(2, -2).finish();
    expect(hex(encoded)).toBe("10feffffffffffffffff01");
    expect(new MessageReader(encoded).integer(2)).toBe(-2);
  });
  test("leaves out what is undefined, and not what is false, zero or empty", () => {
    const message = new MessageWriter().integer(1, undefined).boolean(2, false).integer(3, 0).text(4, "");
    expect(hex(message.finish())).toBe("100018002200");
  });
  test("carries every number, text and field up to the largest", () => {
    for (const value of [0, 1, 127, 128, 16_384, 0x7fffffff, 0xffffffff]) {
      for (const field of [1, 15, 16, 63, 2047]) {
        const reader = new MessageReader(
          new MessageWriter()
            .integer(field, value)
            .text(field + 1, "ä\u{1f0a1}")
            .finish(),
        );
        expect([reader.integer(field), reader.text(field + 1)]).toEqual([value, "ä\u{1f0a1}"]);
      }
    }
  });
  test("passes over fields that nobody asks for, of any type", () => {
    const reader = new MessageReader(bytes("09 0102030405060708 15 01020304 1a 01 ff 20 2a"));
    expect([reader.integer(4), reader.integer(1), reader.text(4), reader.integer(3)]).toEqual([
      42,
      undefined,
      undefined,
      undefined,
    ]);
  });
  test("refuses what is no message", () => {
    for (const text of ["08", "0a05ff", "0b", "09010203", "08ffffffffffffffffffffff"]) {
      expect(() => new MessageReader(bytes(text))).toThrow(RangeError);
    }
  });
});

describe("requests", () => {
  test("without options are of their type alone", () => {
    expect(hex(encodeRequest("VERSION"))).toBe("080a");
    expect(hex(encodeNotified(true))).toBe("08061801");
    expect(hex(encodeNotified(false))).toBe("08061800");
    expect(hex(encodeFeatureCheck())).toBe("08092a0408011001");
  });
  test("have each option in the field of criu's rpc.proto", () => {
    const fields: [object, string][] = [
      [{ workDescriptor: 5 }, "880105"],
      [{ pid: 300 }, "10ac02"],
      [{ leaveRunning: true }, "1801"],
      [{ extUnixSk: true }, "2001"],
      [{ tcpEstablished: true }, "2801"],
      [{ evasiveDevices: true }, "3001"],
      [{ shellJob: true }, "3801"],
      [{ fileLocks: true }, "4001"],
      [{ logLevel: 4 }, "4804"],
      [{ logFile: "a" }, "520161"],
      [{ pageServer: { address: "a", port: 1 } }, "5a05 0a0161 1001"],
      [{ notifyScripts: true }, "6001"],
      [{ root: "/" }, "6a012f"],
      [{ parentImages: "p" }, "720170"],
      [{ trackMemory: true }, "7801"],
      [{ autoDedup: true }, "800101"],
      [{ linkRemap: true }, "900101"],
      [{ cgroupMode: "strict" }, "c00101 900205"],
      [{ cgroupMode: "ignore" }, "c00101 900200"],
      [{ cgroupRoots: [{ controller: "", path: "/" }] }, "ca0105 0a00 12012f"],
      [{ restoreSibling: true }, "d00101"],
      [{ inheritDescriptors: [{ key: "k", descriptor: 4 }] }, "da0105 0a016b 1004"],
      [{ externalMasters: true }, "f00101"],
      [{ external: ["x", "y"] }, "aa020178 aa020179"],
      [{ emptyNamespaces: 0x40000000 }, "b0028080808004"],
      [{ joinNamespaces: [{ type: "u", path: "/" }] }, "ba0206 0a0175 12012f"],
      [{ freezeCgroup: "/" }, "e202012f"],
      [{ tcpSkipInFlight: true }, "f00201"],
      [{ lazyPages: true }, "800301"],
      [{ orphanTerminalMaster: true }, "900301"],
      [{ configFile: "f" }, "9a030166"],
      [{ lsmProfile: "l" }, "aa03016c"],
      [{ lsmMountContext: "m" }, "fa03016d"],
      [{ networkLock: "nftables" }, "800402"],
    ];
    for (const [option, expected] of fields) {
      const wanted = bytes(`0801 12${(2 + bytes(expected).length).toString(16).padStart(2, "0")} 0809 ${expected}`);
      const actual = encodeRequest("DUMP", { imagesDescriptor: 9, ...option });
      expect(hex(actual)).toBe(hex(wanted));
    }
  });
});

describe("responses", () => {
  test("of criu 3.17.1 tell its version", () => {
    expect(decodeResponse(bytes("080a 1001 5206 0803 1011 2001"))).toEqual({
      type: "VERSION",
      success: true,
      version: { major: 3, minor: 17, sublevel: 1 },
    });
  });
  test("tell of notifications, pids, features and errors", () => {
    expect(decodeResponse(bytes("0806 1001 2a06 0a0261 62 102a"))).toEqual({
      type: "NOTIFY",
      success: true,
      notify: { script: "ab", pid: 42 },
    });
    expect(decodeResponse(bytes("0802 1001 2202 0807"))).toEqual({ type: "RESTORE", success: true, pid: 7 });
    expect(decodeResponse(bytes("0809 1001 4204 0801 1000"))).toEqual({
      type: "FEATURE_CHECK",
      success: true,
      features: { memoryTracking: true, lazyPages: false },
    });
    expect(decodeResponse(bytes("0801 1000 3803 4a02 6e6f"))).toEqual({
      type: "DUMP",
      success: false,
      errno: 3,
      error: "no",
    });
  });
  test("of a type that nobody knows keep its number, and what is no response is refused", () => {
    expect(decodeResponse(bytes("0863 1001"))).toEqual({ type: 99, success: true });
    expect(() => decodeResponse(bytes("0863"))).toThrow("no response");
  });
});
