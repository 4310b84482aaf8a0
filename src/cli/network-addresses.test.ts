import { describe, expect, test } from "bun:test";
import { type AddressFlags, subnetConfigs } from "./network-addresses.ts";

const none: AddressFlags = { subnets: [], ranges: [], gateways: [], auxiliary: {} };

describe("addresses of a network to be", () => {
  test("go to the subnets that they lie in", () => {
    const flags: AddressFlags = {
      subnets: ["10.1.0.0/24", "2001:DB8::/64", "10.2.0.0/24"],
      ranges: ["10.2.0.128/25", "10.1.0.5/25"],
      gateways: ["2001:db8::1", "10.1.0.1/24"],
      auxiliary: { printer: "10.2.0.7", router: "10.2.0.8", x: "10.1.0.9" },
    };
    expect(subnetConfigs(flags)).toEqual([
      { Subnet: "10.1.0.0/24", IPRange: "10.1.0.5/25", Gateway: "10.1.0.1/24", AuxiliaryAddresses: { x: "10.1.0.9" } },
      { Subnet: "2001:DB8::/64", Gateway: "2001:db8::1" },
      {
        Subnet: "10.2.0.0/24",
        IPRange: "10.2.0.128/25",
        AuxiliaryAddresses: { printer: "10.2.0.7", router: "10.2.0.8" },
      },
    ]);
  });

  test("are the daemon's to judge where nothing has to be found for them", () => {
    expect(subnetConfigs(none)).toEqual([]);
    expect(subnetConfigs({ ...none, subnets: ["bad"] })).toEqual([{ Subnet: "bad" }]);
  });

  const eight = "10.0.0.0/8";
  test.each<[flags: Partial<AddressFlags>, message: string]>([
    [{ ranges: ["10.0.0.0/24"] }, "every ip-range or gateway must have a corresponding subnet"],
    [{ gateways: ["10.0.0.1"] }, "every ip-range or gateway must have a corresponding subnet"],
    [
      { subnets: [eight], gateways: ["10.0.0.1", "10.0.0.2"] },
      "every ip-range or gateway must have a corresponding subnet",
    ],
    [
      { subnets: [eight, "fd00::/64"], gateways: ["10.0.0.1", "10.0.0.2"] },
      `cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (${eight})`,
    ],
    [
      { subnets: [eight, "fd00::/64"], ranges: ["10.0.0.0/9", "10.128.0.0/9"] },
      `cannot configure multiple ranges (10.128.0.0/9, 10.0.0.0/9) on the same subnet (${eight})`,
    ],
    [{ subnets: [eight, eight] }, "multiple overlapping subnet configuration is not supported"],
    [{ subnets: ["10.1.0.0/16", eight] }, "multiple overlapping subnet configuration is not supported"],
    [{ subnets: [eight], gateways: ["11.0.0.1"] }, "no matching subnet for gateway 11.0.0.1"],
    [{ subnets: [eight], gateways: ["zz"] }, "no matching subnet for gateway zz"],
    [{ subnets: [eight], gateways: ["10.0.0.0/44"] }, "invalid CIDR address: 10.0.0.0/44"],
    [{ subnets: [eight], ranges: ["11.0.0.0/9"] }, "no matching subnet for range 11.0.0.0/9"],
    [{ subnets: ["10.1.0.0/16"], ranges: ["10.2.0.0/8"] }, "no matching subnet for range 10.2.0.0/8"],
    [{ subnets: [eight], ranges: ["10.0.0.1"] }, "invalid CIDR address: 10.0.0.1"],
    [{ subnets: [eight], auxiliary: { a: "11.0.0.1" } }, "no matching subnet for aux-address 11.0.0.1"],
    [{ subnets: [eight], auxiliary: { a: "" } }, "no matching subnet for aux-address "],
    [{ auxiliary: { a: "10.0.0.1" } }, "no matching subnet for aux-address 10.0.0.1"],
    [{ subnets: ["bad"], gateways: ["1.2.3.4"] }, "invalid subnet: invalid CIDR address: bad"],
    [{ subnets: [eight, "010.0.0.0/8"] }, "invalid subnet: invalid CIDR address: 010.0.0.0/8"],
  ])("%j are refused: %s", (flags, message) => {
    expect(() => subnetConfigs({ ...none, ...flags })).toThrow(message);
  });
});
