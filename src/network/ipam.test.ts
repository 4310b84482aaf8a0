import { describe, expect, test } from "bun:test";
import { formatSubnet, parseSubnet } from "./address.ts";
import { checkSubnet, chooseSubnet, defaultPools, parsePool } from "./ipam.ts";

describe("subnets", () => {
  const pools = defaultPools.map(parsePool);

  test("are the first of the pools that collides with nothing, leaving dockerd its own", () => {
    const taken = (...texts: string[]) => texts.map((text) => ({ subnet: parseSubnet(text), what: `route ${text}` }));
    const chosen = (...texts: string[]) => formatSubnet(chooseSubnet("bridge", pools, taken(...texts)));
    expect(chosen()).toBe("172.28.0.0/16");
    expect(chosen("172.17.0.0/16")).toBe("172.28.0.0/16");
    expect(chosen("172.28.128.0/24")).toBe("172.29.0.0/16");
    expect(chosen("172.16.0.0/12")).toBe("10.200.0.0/20");
    expect(chosen("172.16.0.0/12", "10.0.0.0/8")).toBe("192.168.0.0/20");
    expect(chosen("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/24", "192.168.16.7/32")).toBe("192.168.32.0/20");
  });

  test("that cannot be had are an error that names what is in the way of each pool", () => {
    const obstacles = [{ subnet: parseSubnet("10.0.0.0/8"), what: "route 10.0.0.0/8 dev tun0" }];
    expect(() => chooseSubnet("bridge", [parsePool("10.1.0.0/16 size 24")], obstacles)).toThrow(
      "network bridge: all predefined address pools have been fully subnetted (10.1.0.0/16: route 10.0.0.0/8 dev tun0)",
    );
  });

  test("that were asked for and collide are refused with what is in the way", () => {
    const obstacles = [{ subnet: parseSubnet("10.0.0.0/8"), what: "route 10.0.0.0/8 via 192.0.2.1 dev tun0" }];
    expect(() => checkSubnet("bridge", parseSubnet("10.9.0.0/24"), obstacles)).toThrow(
      "network bridge: subnet 10.9.0.0/24 overlaps with route 10.0.0.0/8 via 192.0.2.1 dev tun0",
    );
    expect(() => checkSubnet("bridge", parseSubnet("11.0.0.0/24"), obstacles)).not.toThrow();
  });

  test("come from pools that are read strictly", () => {
    expect(parsePool("10.0.0.0/24")).toEqual({ base: parseSubnet("10.0.0.0/24"), prefixLength: 24 });
    for (const bad of ["10.0.0.0/16 size 8", "10.0.0.0/16 size 31", "10.0.0.0/16 24", "x size 24", ""]) {
      expect(() => parsePool(bad)).toThrow();
    }
  });
});
