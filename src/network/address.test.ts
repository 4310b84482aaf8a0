import { describe, expect, test } from "bun:test";
import {
  addressBytes,
  addressOf,
  broadcastAddress,
  contains,
  formatAddress,
  formatSubnet,
  macOf,
  nthAddress,
  overlaps,
  parseAddress,
  parseSubnet,
} from "./address.ts";

describe("addresses", () => {
  test("are read and written in canonical form", () => {
    const cases: [string, string][] = [
      ["172.28.0.1", "172.28.0.1"],
      ["0.0.0.0", "0.0.0.0"],
      ["255.255.255.255", "255.255.255.255"],
      ["::", "::"],
      ["::1", "::1"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["fe80::", "fe80::"],
      ["::ffff:192.0.2.1", "::ffff:c000:201"],
      ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
      ["0:0:1::", "0:0:1::"],
    ];
    for (const [text, canonical] of cases) {
      expect(formatAddress(parseAddress(text))).toBe(canonical);
      expect(addressOf(addressBytes(parseAddress(text)))).toEqual(parseAddress(text));
    }
  });

  test("that are none are refused by their text", () => {
    const bad = ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", ":", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7"];
    for (const text of [...bad, "1:2:3:4:5:6:7:8:9", "g::", "::1.2.3", "1:2:3:4:5:6:7::8", "host"]) {
      expect(() => parseAddress(text)).toThrow(`${JSON.stringify(text)} is not an IP address`);
    }
  });

  test("give the MAC address that Docker derives", () => {
    expect(macOf(parseAddress("172.17.0.2"))).toBe("02:42:ac:11:00:02");
  });
});

describe("subnets", () => {
  test("are read with their host bits cleared", () => {
    expect(formatSubnet(parseSubnet("172.28.3.4/16"))).toBe("172.28.0.0/16");
    expect(formatSubnet(parseSubnet("0.0.0.0/0"))).toBe("0.0.0.0/0");
    expect(formatSubnet(parseSubnet("fd00:1:2:3::7/64"))).toBe("fd00:1:2:3::/64");
  });

  test("that are none are refused by their text", () => {
    for (const text of ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "::/129", "x/8"]) {
      expect(() => parseSubnet(text)).toThrow(`${JSON.stringify(text)} is not a subnet`);
    }
  });

  test("know what lies in them and what they overlap", () => {
    const subnet = parseSubnet("172.28.0.0/16");
    expect(contains(subnet, parseAddress("172.28.255.255"))).toBe(true);
    expect(contains(subnet, parseAddress("172.29.0.0"))).toBe(false);
    expect(contains(subnet, parseAddress("::1"))).toBe(false);
    expect(overlaps(subnet, parseSubnet("172.16.0.0/12"))).toBe(true);
    expect(overlaps(subnet, parseSubnet("172.28.4.0/24"))).toBe(true);
    expect(overlaps(subnet, parseSubnet("172.29.0.0/16"))).toBe(false);
    expect(overlaps(parseSubnet("0.0.0.0/0"), parseSubnet("::/0"))).toBe(false);
    expect(formatAddress(nthAddress(subnet, 2n))).toBe("172.28.0.2");
    expect(formatAddress(broadcastAddress(subnet))).toBe("172.28.255.255");
  });
});
