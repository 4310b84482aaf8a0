import { expect, test } from "bun:test";
import { addressPools } from "./system.ts";

test("info has the address pools that the daemon was told of, and none of its own", () => {
  expect(addressPools(["10.10.0.0/16 size 24", "fd00:8::/56 size 64"])).toEqual({
    DefaultAddressPools: [
      { Base: "10.10.0.0/16", Size: 24 },
      { Base: "fd00:8::/56", Size: 64 },
    ],
  });
  expect(addressPools([])).toEqual({});
});
