/** What `run` and `create` ask the daemon for by their flags of networks, and what they refuse, beside docker 28.2.2's. */
import { describe, expect, test } from "bun:test";
import type { EndpointSettings } from "../api/schema/container-config.ts";
import { containerFlags } from "./container-flags.ts";
import { createRequest } from "./create-request.ts";
import { parseFlags } from "./flags.ts";

function requestOf(words: string[]) {
  const { values, given, positionals } = parseFlags(containerFlags, [...words, "image"], false);
  return createRequest(values, given as ReadonlySet<string>, positionals[0]!, [], false);
}

function endpointsOf(words: string[]): [mode: string | undefined, endpoints: unknown] {
  const { HostConfig, NetworkingConfig } = requestOf(words);
  return [HostConfig?.NetworkMode, NetworkingConfig?.EndpointsConfig];
}

const [mac, otherMac] = ["02:42:ac:1c:00:02", "02:42:ac:1c:00:03"];

describe("the networks of a container to be", () => {
  test.each<[words: string[], mode: string, endpoints: Record<string, EndpointSettings>]>([
    [[], "default", {}],
    [["--network", "bridge"], "bridge", {}],
    [["--network", "n1"], "n1", {}],
    [["--net", "n1"], "n1", {}],
    [["--network", "name=n1"], "n1", {}],
    [["--network", "NAME=Foo"], "foo", {}],
    [["--network", "container:x"], "container:x", {}],
    [["--network", "ns:/foo"], "ns:/foo", {}],
    [["--network", "n1", "--network", "n2"], "n1", { n1: {}, n2: {} }],
    [["--net", "n1", "--network", "n2"], "n1", { n1: {}, n2: {} }],
    [["--network", "host", "--network", "none"], "host", { host: {}, none: {} }],
    [["--network", "n1", "--network-alias", "a", "--net-alias", "b,c"], "n1", { n1: { Aliases: ["a", "b,c"] } }],
    [["--network", "n1", "--link", "a:b", "--link", "c"], "n1", { n1: { Links: ["a:b", "c"] } }],
    [["--link", "a:b"], "default", {}],
    [["--ip", "10.0.0.1"], "default", { default: { IPAMConfig: { IPv4Address: "10.0.0.1" } } }],
    [["--ip", "zz"], "default", { default: { IPAMConfig: { IPv4Address: "zz" } } }],
    [["--network", "bridge", "--ip6", "::1"], "bridge", { bridge: { IPAMConfig: { IPv6Address: "::1" } } }],
    [
      ["--link-local-ip", "169.254.1.1", "--link-local-ip", "fe80::4"],
      "default",
      { default: { IPAMConfig: { LinkLocalIPs: ["169.254.1.1", "fe80::4"] } } },
    ],
    [["--mac-address", "02:42:AC:1c:00:02"], "default", { default: { MacAddress: "02:42:AC:1c:00:02" } }],
    [["--mac-address", "02-42-ac-1c-00-02"], "default", { default: { MacAddress: "02-42-ac-1c-00-02" } }],
    [["--mac-address", "0242.ac1c.0002"], "default", { default: { MacAddress: "0242.ac1c.0002" } }],
    [
      [
        "--network",
        "name=n1,alias=x,alias=Y,ip=10.0.0.1,ip6=2001:DB8::1,mac-address=02:42:AC:1c:00:02,link-local-ip=169.254.1.1," +
          'link-local-ip=fe80::3,driver-opt=A=b,gw-priority=-5,"driver-opt=c = d,e"',
      ],
      "n1",
      {
        n1: {
          Aliases: ["x", "y"],
          DriverOpts: { a: "b", c: "d,e" },
          GwPriority: -5,
          IPAMConfig: {
            IPv4Address: "10.0.0.1",
            IPv6Address: "2001:db8::1",
            LinkLocalIPs: ["169.254.1.1", "fe80::3"],
          },
          MacAddress: mac,
        },
      },
    ],
    [
      [
        "--network",
        "n1",
        "--network",
        "name=n2,ip=10.0.0.9",
        "--ip",
        "10.0.0.3",
        "--network-alias",
        "a",
        "--link",
        "l",
      ],
      "n1",
      {
        n1: { Aliases: ["a"], IPAMConfig: { IPv4Address: "10.0.0.3" }, Links: ["l"] },
        n2: { IPAMConfig: { IPv4Address: "10.0.0.9" } },
      },
    ],
    // What does not look like `name=value` is a name.
    [["--network", "name = n1"], "name = n1", {}],
    [["--network", 'name="n1'], 'name="n1', {}],
  ])("of %j", (words, mode, endpoints) => {
    expect(endpointsOf(words)).toEqual([mode, endpoints]);
  });

  test("links are in the host configuration too, where those of the default bridge are looked for", () => {
    expect(requestOf(["--link", "a:b", "--link", "c"]).HostConfig?.Links).toEqual(["a:b", "c"]);
  });

  const conflict = "conflicting options: cannot specify both";
  test.each<[words: string[], message: string]>([
    [["--network-alias", "a"], "network-scoped aliases are only supported for user-defined networks"],
    [["--network", "name=bridge,alias=a"], "network-scoped aliases are only supported for user-defined networks"],
    [["--network", "name=n1,alias=x", "--network-alias", "a"], `${conflict} --network-alias and per-network alias`],
    [["--network", "name=n1,ip=10.0.0.1", "--ip", "10.0.0.2"], `${conflict} --ip and per-network IPv4 address`],
    [["--network", "name=n1,ip6=::1", "--ip6", "::2"], `${conflict} --ip6 and per-network IPv6 address`],
    [
      ["--network", `name=n1,mac-address=${mac}`, "--mac-address", otherMac],
      `${conflict} --mac-address and per-network MAC address`,
    ],
    [
      ["--network", "name=n1,link-local-ip=169.254.1.1", "--link-local-ip", "169.254.1.2"],
      `${conflict} --link-local-ip and per-network link-local IP addresses`,
    ],
    [["--mac-address", "zz"], "zz is not a valid mac address"],
    [["--mac-address", "02:42:ac:1c:00"], "02:42:ac:1c:00 is not a valid mac address"],
    [["--mac-address", "02:42-ac:1c:00:02"], "02:42-ac:1c:00:02 is not a valid mac address"],
    [["--network", "name=n1,mac-address=zz"], "zz is not a valid mac address"],
    [["--network", ""], "no name set for network"],
    [["--network", " "], "no name set for network"],
    [["--network", "n1", "--network", "n1"], 'network "n1" is specified multiple times'],
    [
      ["--network", "n1", "--network", "bridge"],
      "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
    ],
    [
      ["--network", "container:x", "--network", "n1"],
      "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
    ],
  ])("%j is refused: %s", (words, message) => expect(() => requestOf(words)).toThrow(message));

  test.each<[value: string, reason: string]>([
    ["alias=bar", "network name/id is not specified"],
    ["name=n1,foo=bar", "invalid field key foo"],
    ["foo-bar=x", "invalid field key foo-bar"],
    ["name=n1,foo", "invalid field foo"],
    ["name=n1,=x", "invalid field =x"],
    ["name=n1,gw-priority=zz", "invalid gw-priority (zz): invalid syntax"],
    ["name=n1,gw-priority=99999999999999999999", "invalid gw-priority (99999999999999999999): value out of range"],
    ["name=n1,driver-opt=x", "invalid key value pair format in driver options"],
    ["name=n1,driver-opt==x", "invalid key value pair format in driver options"],
    ['name=n1,"ip=1', 'parse error on line 1, column 14: extraneous or missing " in quoted-field'],
  ])("--network %s is refused: %s", (value, reason) => {
    expect(() => requestOf(["--network", value])).toThrow(
      `invalid argument ${JSON.stringify(value)} for "--network" flag: ${reason}`,
    );
  });
});

describe("exposed ports", () => {
  test.each<[words: string[], ports: string[] | undefined]>([
    [[], undefined],
    [["80"], ["80/tcp"]],
    [
      ["90-92/udp", "80/", "80"],
      ["90/udp", "91/udp", "92/udp", "80/tcp"],
    ],
    [["08/sctp"], ["8/sctp"]],
    [["80/TCP", "80"], ["80/tcp"]],
    [["1-2-3"], ["1/tcp", "2/tcp"]],
  ])("of --expose %j", (words, ports) => {
    const exposed = requestOf(words.flatMap((word) => ["--expose", word])).ExposedPorts;
    expect(exposed && Object.keys(exposed)).toEqual(ports);
  });

  test.each([
    ["90:91", "invalid port format for --expose: 90:91"],
    ["zz", 'invalid range format for --expose: zz, error: strconv.ParseUint: parsing "zz": invalid syntax'],
    ["-5", 'invalid range format for --expose: -5, error: strconv.ParseUint: parsing "": invalid syntax'],
    ["90-80", "invalid range format for --expose: 90-80, error: invalid range specified for port: 90-80"],
    [
      "70000",
      'invalid range format for --expose: 70000, error: strconv.ParseUint: parsing "70000": value out of range',
    ],
    ["", "invalid range format for --expose: , error: empty string specified for ports"],
    ["80/warp", "invalid proto: warp"],
    ["/tcp", "invalid range format for --expose: /tcp, error: empty string specified for ports"],
  ])("--expose %j is refused: %s", (value, message) => {
    expect(() => requestOf(["--expose", value])).toThrow(message);
  });

  test("-P publishes them", () => {
    expect(requestOf(["-P"]).HostConfig?.PublishAllPorts).toBe(true);
  });
});

test("published ports are exposed too, and the ways that flags name for them are annotations", () => {
  const request = requestOf([
    ...["-p", "8080:80", "--publish", "target=53,protocol=udp,mode=socket", "--expose", "90", "--annotation", "a=b"],
  ]);
  expect(request.ExposedPorts).toEqual({ "80/tcp": {}, "53/udp": {}, "90/tcp": {} });
  expect(request.HostConfig?.PortBindings).toEqual({
    "80/tcp": [{ HostIp: "", HostPort: "8080" }],
    "53/udp": [{ HostIp: "", HostPort: "" }],
  });
  expect(request.HostConfig?.Annotations).toEqual({ a: "b", "tsd.publish.53/udp": "socket" });
  expect(() => requestOf(["-p", "1.2.3.4:80"])).toThrow("invalid hostPort: 1.2.3.4");
});

describe("names and servers", () => {
  test("are put as the API wants them", () => {
    const { HostConfig } = requestOf([
      ...["--dns", " 1.2.3.4 ", "--dns", "2001:DB8:0::1", "--dns-search", "foo.", "--dns-search", "."],
      ...["--dns-opt", "ndots:2", "--dns-option", "use-vc"],
      ...["--add-host", "a=[::1]", "--add-host", "b:::1", "--add-host", "c:[::1]", "--add-host", "d=host-gateway"],
    ]);
    expect(HostConfig).toMatchObject({
      Dns: ["1.2.3.4", "2001:db8::1"],
      DnsSearch: ["foo", "."],
      DnsOptions: ["ndots:2", "use-vc"],
      ExtraHosts: ["a:::1", "b:::1", "c:::1", "d:host-gateway"],
    });
  });

  test.each([
    ["dns", "1.2.3", "IP address is not correctly formatted: 1.2.3"],
    ["dns", "fe80::1%eth0", "IP address is not correctly formatted: fe80::1%eth0"],
    ["dns-search", "", " is not a valid domain"],
    ["dns-search", "foo_bar.x", "foo_bar.x is not a valid domain"],
    ["dns-search", "-foo", "-foo is not a valid domain"],
    ["dns-search", "foo..bar", "foo..bar is not a valid domain"],
    ["add-host", "c", 'bad format for add-host: "c"'],
    ["add-host", "=1.2.3.4", 'bad format for add-host: "=1.2.3.4"'],
    ["add-host", "a:", 'invalid IP address in add-host: ""'],
    ["add-host", "a=b:1.2.3.4", 'invalid IP address in add-host: "b:1.2.3.4"'],
    ["add-host", "a:[::1", 'invalid IP address in add-host: "[::1"'],
    ["link", "a:b:c", "bad format for links: a:b:c"],
    ["link", "", "empty string specified for links"],
  ])("--%s %j is refused: %s", (name, value, reason) => {
    expect(() => requestOf([`--${name}`, value])).toThrow(
      `invalid argument ${JSON.stringify(value)} for "--${name}" flag: ${reason}`,
    );
  });
});
