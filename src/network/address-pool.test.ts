import { describe, expect, test } from "bun:test";
import { formatAddress, parseAddress, parseSubnet } from "./address.ts";
import { AddressPool } from "./address-pool.ts";
import { gatewayOf } from "./ipam.ts";

describe("addresses", () => {
  const subnet = parseSubnet("10.9.0.0/29");
  const gateway = gatewayOf(subnet);

  test("are given out in turn, and not again before all others were", () => {
    const pool = new AddressPool(subnet, [gateway]);
    const given = Array.from({ length: 3 }, () => formatAddress(pool.allocate()));
    expect(given).toEqual(["10.9.0.2", "10.9.0.3", "10.9.0.4"]);
    pool.release(parseAddress("10.9.0.2"));
    expect(formatAddress(pool.allocate())).toBe("10.9.0.5");
    expect(formatAddress(pool.allocate())).toBe("10.9.0.6");
    expect(formatAddress(pool.allocate())).toBe("10.9.0.2");
    expect(() => pool.allocate()).toThrow("all addresses of subnet 10.9.0.0/29 are in use");
  });

  test("that are fixed are taken once, and only inside the subnet", () => {
    const pool = new AddressPool(subnet, [gateway]);
    pool.take(parseAddress("10.9.0.4"));
    expect(() => pool.take(parseAddress("10.9.0.4"))).toThrow("address 10.9.0.4 is already in use");
    expect(() => pool.take(gateway)).toThrow("address 10.9.0.1 is already in use");
    for (const outside of ["10.9.0.0", "10.9.0.7", "10.9.1.1", "::1"]) {
      expect(() => pool.take(parseAddress(outside))).toThrow("is not one that subnet 10.9.0.0/29 has to give");
    }
  });

  test("cost the same however many are in use", () => {
    const pool = new AddressPool(parseSubnet("10.0.0.0/8"), []);
    const timeOf = (count: number): number => {
      const started = performance.now();
      for (let i = 0; i < count; i++) pool.allocate();
      return performance.now() - started;
    };
    timeOf(10_000);
    const early = timeOf(10_000);
    for (let i = 0; i < 100_000; i++) pool.allocate();
    expect(timeOf(10_000)).toBeLessThan(20 * early + 20);
  });

  test("of IPv6 subnets are given out too", () => {
    const pool = new AddressPool(parseSubnet("fd00:1::/64"), [parseAddress("fd00:1::1")]);
    expect(formatAddress(pool.allocate())).toBe("fd00:1::2");
  });
});
