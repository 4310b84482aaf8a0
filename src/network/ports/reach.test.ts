import { expect, test } from "bun:test";
import { parseSubnet } from "../../core/ip-address.ts";
import type { PublishMode } from "./port.ts";
import { reachOf } from "./reach.ts";

test.each([
  ["127.0.0.1", "loopback"],
  ["127.9.9.9", "loopback"],
  ["::1", "loopback"],
  ["172.28.0.1", "this host"],
  ["fd00:7::1", "this host"],
  ["172.27.0.1", "local networks"],
  ["192.168.1.10", "local networks"],
  ["fd00:8::1", "local networks"],
  ["0.0.0.0", "everywhere"],
  ["::", "everywhere"],
  ["203.0.113.9", "everywhere"],
  ["2001:db8::9", "everywhere"],
])("a port on %s is reached from: %s", (hostAddress, from) => {
  const subnets = ["172.28.0.0/16", "fd00:7::/64"].map(parseSubnet);
  const of = (mode: PublishMode) =>
    reachOf({ transport: "tcp", containerPort: 80, hostAddress, hostPort: 8080, mode }, subnets);
  expect(reachOf({ transport: "tcp", containerPort: 80, hostAddress, hostPort: 0, mode: "routed" }, subnets)).toEqual({
    from: "routed networks",
    inputRules: false,
  });
  expect(of("nat")).toEqual({ from: from as never, inputRules: false });
  expect(of("socket")).toEqual({ from: from as never, inputRules: true });
});
