import { describe, expect, test } from "bun:test";
import type { EndpointSettings } from "../../api/schema/container-config.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import type { Network } from "../../network/network.ts";
import { plainDefinition } from "../../network/records.ts";
import { settleEndpoint, settleEndpoints } from "./endpoints.ts";
import { formatMac } from "./mac.ts";

function network(name: string, rest: Partial<Network> = {}): Network {
  return {
    id: Buffer.from(name).toString("hex").padEnd(64, "0"),
    name,
    driver: "bridge",
    createdAt: "",
    ...plainDefinition,
    enableIpv6: true,
    subnets: [],
    isBuiltIn: false,
    ...rest,
  };
}

const own = network("own", {
  subnets: [
    { subnet: "10.1.0.0/16", isConfigured: true },
    { subnet: "fd00:1::/64", isConfigured: true },
  ],
});
const chosen = network("chosen", { subnets: [{ subnet: "172.28.0.0/16" }] });
const bridge = network("bridge", { isBuiltIn: true });
const all = [
  own,
  chosen,
  bridge,
  network("host", { isBuiltIn: true, driver: "host" }),
  network("none", { isBuiltIn: true, driver: "null" }),
  network("template", { configOnly: true, driver: "null" }),
];

function find(reference: string): Network {
  const found = all.find(({ name, id }) => name === reference || id.startsWith(reference));
  if (found === undefined) throw new EngineError("not_found", `network ${reference} not found`);
  return found;
}

function settle(settings: Record<string, EndpointSettings>, mode = "bridge", links: string[] = []) {
  return settleEndpoints({ mode, settings, links }, find);
}

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return isEngineError(error, "invalid_argument") ? error.message : `another error: ${error}`;
  }
  return "no error";
}

describe("the networks of a new container", () => {
  test("are its network mode alone where nothing more is said, and else those that are named", () => {
    expect(settle({})).toEqual({ mode: "bridge", endpoints: { bridge: { NetworkID: bridge.id } } });
    expect(settle({ default: {} }).endpoints).toEqual({ bridge: { NetworkID: bridge.id } });
    const several = settle({ chosen: { GwPriority: 1 }, own: {} }, "own");
    expect(several.endpoints).toEqual({
      chosen: { GwPriority: 1, NetworkID: chosen.id },
      own: { NetworkID: own.id },
    });
    expect(Object.keys(settle({ own: {} }).endpoints)).toEqual(["own"]);
  });

  test("may be named by id and by its beginning, and are stored by name; a beginning becomes the whole id", () => {
    expect(settle({}, own.id)).toEqual({ mode: own.id, endpoints: { own: { NetworkID: own.id } } });
    expect(settle({}, own.id.slice(0, 5))).toEqual({ mode: own.id, endpoints: { own: { NetworkID: own.id } } });
    expect(settle({ x: { NetworkID: own.id } }, "own").endpoints).toEqual({ own: { NetworkID: own.id } });
    expect(refusal(() => settle({ own: {}, [own.id]: {} }, "own"))).toContain("network own twice");
  });

  test("have to be there, and be such as can be together", () => {
    expect(refusal(() => settle({}, "nosuch"))).toBe("network nosuch not found");
    expect(refusal(() => settle({ own: {}, nosuch: {} }, "own"))).toBe("network nosuch not found");
    expect(refusal(() => settle({ host: {}, own: {} }, "host"))).toStartWith(
      "container sharing network namespace with another container or host cannot",
    );
    expect(refusal(() => settle({ none: {}, own: {} }, "own"))).toStartWith(
      "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    );
    expect(() => settle({}, "template")).toThrow("it is a configuration-only network");
  });

  test("on users' networks take HostConfig.Links with them, for there they are names", () => {
    expect(settle({ own: { Links: ["a"] } }, "own", ["db:x"]).endpoints.own!.Links).toEqual(["a", "db:x"]);
    expect(settle({}, "bridge", ["db:x"]).endpoints.bridge).not.toHaveProperty("Links");
  });
});

describe("an endpoint", () => {
  test("keeps what was wished, in canonical form, and nothing of what clients got elsewhere", () => {
    const given = { EndpointID: "e", IPAddress: "1.2.3.4", Gateway: "1.2.3.1", DNSNames: ["x"] };
    const wished = {
      IPAMConfig: { IPv4Address: "10.1.0.9", IPv6Address: "FD00:1:0::9", LinkLocalIPs: ["169.254.0.5"] },
      MacAddress: "02-42-AC-11-00-09",
      Aliases: ["db"],
      DriverOpts: { a: "b" },
      Links: [],
    };
    expect(settleEndpoint({ ...given, ...wished }, own)).toEqual({
      IPAMConfig: { IPv4Address: "10.1.0.9", IPv6Address: "fd00:1::9", LinkLocalIPs: ["169.254.0.5"] },
      MacAddress: "02:42:ac:11:00:09",
      Aliases: ["db"],
      DriverOpts: { a: "b" },
      NetworkID: own.id,
    });
    expect(settleEndpoint({ IPAMConfig: null, Aliases: null, MacAddress: "" }, bridge)).toEqual({
      NetworkID: bridge.id,
    });
  });

  const ipv4 = (IPv4Address: string): EndpointSettings => ({ IPAMConfig: { IPv4Address } });
  test.each([
    [bridge, ipv4("172.28.0.5"), "user specified IP address is supported on user defined networks only"],
    [
      chosen,
      ipv4("172.28.0.5"),
      "user specified IP address is supported only when connecting to networks with user configured subnets",
    ],
    [own, ipv4("10.2.0.5"), "no configured subnet or ip-range contain the IP address 10.2.0.5"],
    [own, ipv4("fd00:1::5"), "invalid IPv4 address: fd00:1::5"],
    [own, ipv4("0.0.0.0"), "invalid IPv4 address: 0.0.0.0"],
    [own, { IPAMConfig: { IPv6Address: "10.1.0.5" } }, "invalid IPv6 address: 10.1.0.5"],
    [own, { IPAMConfig: { LinkLocalIPs: ["near"] } }, "invalid link-local IP address: near"],
    [own, { MacAddress: "02:42" }, "invalid MAC address 02:42"],
    [bridge, { Aliases: ["a"] }, "network-scoped alias is supported only for containers in user defined networks"],
    [
      own,
      { DriverOpts: { "com.docker.network.endpoint.sysctls": "net.ipv4.conf.eth0.x=1" } },
      "unrecognised network interface sysctl 'net.ipv4.conf.eth0.x=1'",
    ],
    [own, { Links: ["a:b:c"] }, "bad format for links: a:b:c"],
  ] as [Network, EndpointSettings, string][])("on %p refuses %j", (on, settings, message) => {
    expect(refusal(() => settleEndpoint(settings, on))).toContain(message);
  });

  test("says all that is wrong with it, and on which network", () => {
    const wrong = { Aliases: ["a"], MacAddress: "x" };
    expect(refusal(() => settle({ default: wrong }))).toBe(
      "invalid config for network default: invalid endpoint settings:\n" +
        "* network-scoped alias is supported only for containers in user defined networks\n* invalid MAC address x",
    );
  });
});

test("MAC addresses are read in Go's forms; groups and zero are none of an interface", () => {
  for (const text of ["02:42:AC:11:00:02", "02-42-ac-11-00-02", "0242.ac11.0002"]) {
    expect(formatMac(text)).toBe("02:42:ac:11:00:02");
  }
  for (const text of ["", "02:42:ac:11:00", "02:42-ac:11:00:02", "03:42:ac:11:00:02", "00:00:00:00:00:00", "zz:42"]) {
    expect(formatMac(text)).toBeUndefined();
  }
});
