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

  test("cost the same when one comes back to a pool that is used up", () => {
    const pool = new AddressPool(parseSubnet("10.0.0.0/16"), []);
    const held = Array.from({ length: 65_534 }, () => pool.allocate());
    const started = performance.now();
    for (let i = 0; i < 20_000; i++) {
      pool.release(held[(i * 7919) % held.length]!);
      held[(i * 7919) % held.length] = pool.allocate();
    }
    // A walk over the used ones for each would take minutes.
    expect(performance.now() - started).toBeLessThan(2_000);
    // A fixed address that goes and comes back leaves nothing behind, however often.
    for (let i = 0; i < 20_000; i++) {
      pool.release(held[0]!);
      pool.take(held[0]!);
    }
    expect(() => pool.allocate()).toThrow("all addresses of subnet 10.0.0.0/16 are in use");
    expect(pool.status()).toEqual({ subnet: "10.0.0.0/16", inUse: 65_536n, available: 0n });
  });

  test("of IPv6 subnets are given out too, of 2^64 the first ones", () => {
    const pool = new AddressPool(parseSubnet("fd00:1::/64"), [parseAddress("fd00:1::1")]);
    const fixed = parseAddress("fd00:1::ffff:ffff:ffff:ffff");
    pool.take(fixed);
    expect(formatAddress(pool.allocate())).toBe("fd00:1::2");
    expect(pool.has(fixed)).toBe(true);
    expect(pool.status()).toEqual({ subnet: "fd00:1::/64", inUse: 4n, available: 2n ** 64n - 4n });
    expect(() => pool.take(parseAddress("fd00:1::"))).toThrow("is not one that subnet fd00:1::/64 has to give");
  });

  test("come from a range where there is one, with its first and its last", () => {
    const pool = new AddressPool(subnet, [gateway], parseSubnet("10.9.0.4/30"));
    pool.take(parseAddress("10.9.0.2"));
    const given = Array.from({ length: 3 }, () => formatAddress(pool.allocate()));
    // Its fourth is the subnet's broadcast address.
    expect(given).toEqual(["10.9.0.4", "10.9.0.5", "10.9.0.6"]);
    expect(() => pool.allocate()).toThrow("all addresses of subnet 10.9.0.0/29 are in use");
    expect(pool.status()).toEqual({ subnet: "10.9.0.0/29", inUse: 7n, available: 0n });
  });
});
