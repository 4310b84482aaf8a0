import { describe, expect, test } from "bun:test";
import { formatAddress, formatSubnet, parseAddress } from "./address.ts";
import { NetworkAddresses } from "./network-addresses.ts";

const network = {
  name: "x",
  subnets: [
    { subnet: "10.9.0.0/29", gateway: "10.9.0.1", auxiliaryAddresses: { printer: "10.9.0.3" } },
    { subnet: "10.7.0.0/24", ipRange: "10.7.0.16/30" },
    { subnet: "fd00:1::/64", gateway: "fd00:1::1" },
  ],
};

describe("the addresses of a network", () => {
  test("come from the first subnet of the family that has any left, without gateway and auxiliary addresses", () => {
    const addresses = new NetworkAddresses(network);
    const given = Array.from({ length: 8 }, () => formatAddress(addresses.allocate(4)));
    const first = ["10.9.0.2", "10.9.0.4", "10.9.0.5", "10.9.0.6"];
    expect(given).toEqual([...first, "10.7.0.16", "10.7.0.17", "10.7.0.18", "10.7.0.19"]);
    expect(() => addresses.allocate(4)).toThrow(
      "network x: no available IPv4 addresses on this network's address pools: 10.9.0.0/29, 10.7.0.0/24",
    );
    addresses.release(parseAddress("10.9.0.5"));
    expect(formatAddress(addresses.allocate(4))).toBe("10.9.0.5");
    expect(formatAddress(addresses.allocate(6))).toBe("fd00:1::2");
  });

  test("that are fixed may lie outside of the range, but neither outside of the subnets nor on another's", () => {
    const addresses = new NetworkAddresses(network);
    addresses.take(parseAddress("10.7.0.200"));
    addresses.take(parseAddress("fd00:1:0:0:ffff::7"));
    expect(formatSubnet(addresses.subnetOf(parseAddress("10.7.0.200"))!)).toBe("10.7.0.0/24");
    for (const [taken, use] of [
      ["10.7.0.200", ""],
      ["10.9.0.1", ": it is its gateway"],
      ["10.9.0.3", ": it is its auxiliary address printer"],
      ["fd00:1::ffff:0:0:7", ""],
    ] as const) {
      const text = `network x: address ${taken} is already in use${use}`;
      expect(() => addresses.take(parseAddress(taken))).toThrow(new Error(text));
    }
    for (const outside of ["10.6.0.1", "fd00:2::1"]) {
      const text = `network x: no configured subnet contains IP address ${outside} (10.9.0.0/29, 10.7.0.0/24, fd00:1::/64)`;
      expect(() => addresses.take(parseAddress(outside))).toThrow(text);
    }
    for (const special of ["10.9.0.7", "10.7.0.0", "fd00:1::"]) {
      expect(() => addresses.take(parseAddress(special))).toThrow(
        `network x: address ${special} is not one that subnet`,
      );
    }
    addresses.release(parseAddress("192.0.2.1"));
  });

  test("are counted as Docker counts: what is never given out is in use", () => {
    const addresses = new NetworkAddresses(network);
    addresses.allocate(4);
    addresses.take(parseAddress("10.7.0.200"));
    addresses.allocate(6);
    expect(addresses.status()).toEqual([
      { subnet: "10.9.0.0/29", inUse: 5n, available: 3n },
      { subnet: "10.7.0.0/24", inUse: 3n, available: 4n },
      { subnet: "fd00:1::/64", inUse: 3n, available: 2n ** 64n - 3n },
    ]);
  });
});
