import { describe, expect, test } from "bun:test";
import type { PortRequest } from "../../network/ports/port.ts";
import { exposedPorts, portRequests } from "./ports.ts";

const of = (
  PortBindings: Parameters<typeof portRequests>[1]["PortBindings"],
  more: Omit<Parameters<typeof portRequests>[1], "PortBindings"> & { exposed?: string[] } = {},
): PortRequest[] => {
  const { exposed = [], ...host } = more;
  const ExposedPorts = Object.fromEntries(exposed.map((key) => [key, {}]));
  return portRequests({ ExposedPorts }, { ...(PortBindings && { PortBindings }), ...host });
};

describe("ports that a container wants published", () => {
  test("have addresses, ports and ranges as they are bound, in the order of the container's ports", () => {
    expect(
      of({
        "443/tcp": [{ HostIp: "::1", HostPort: "8443" }],
        "53/udp": [{ HostPort: "8000-8010" }, { HostIp: "127.0.0.1", HostPort: "53" }],
        "80": [{}],
        "9/SCTP": [{ HostIp: "", HostPort: "0" }],
      }),
    ).toEqual([
      { transport: "sctp", containerPort: 9 },
      { transport: "udp", containerPort: 53, hostPorts: { first: 8000, last: 8010 } },
      { transport: "udp", containerPort: 53, hostAddress: "127.0.0.1", hostPorts: { first: 53, last: 53 } },
      { transport: "tcp", containerPort: 80 },
      { transport: "tcp", containerPort: 443, hostAddress: "::1", hostPorts: { first: 8443, last: 8443 } },
    ]);
    expect(of({ "80/tcp": [{ HostIp: "[fd00::1]" }] })[0]!.hostAddress).toBe("fd00::1");
    expect(of({ "80/tcp": [] })).toEqual([]);
    expect(of(undefined)).toEqual([]);
  });

  test("are all that is exposed where that is asked for, ranges too, beside what is bound", () => {
    const exposed = ["80/tcp", "9000-9002/udp"];
    expect(of({ "80/tcp": [{ HostPort: "8080" }] }, { exposed })).toHaveLength(1);
    expect(of({ "80/tcp": [{ HostPort: "8080" }] }, { exposed, PublishAllPorts: true })).toEqual([
      { transport: "tcp", containerPort: 80, hostPorts: { first: 8080, last: 8080 } },
      ...[9000, 9001, 9002].map((containerPort) => ({ transport: "udp" as const, containerPort })),
    ]);
    expect(exposedPorts({ "1-2/tcp": {} }).map(({ port }) => port)).toEqual([1, 2]);
  });

  test("that an image exposes in thousands of ranges cost no more than their keys", () => {
    const keys = Array.from({ length: 20_000 }, (_, n) => [`${n + 1}-65535/tcp`, {}] as const);
    const before = performance.now();
    const ports = exposedPorts(Object.fromEntries(keys));
    expect(performance.now() - before).toBeLessThan(3_000);
    expect([ports.length, ports[0], ports.at(-1)]).toEqual([
      65_535,
      { port: 1, protocol: "tcp" },
      { port: 65_535, protocol: "tcp" },
    ]);
    expect(exposedPorts({ "81/tcp": {}, "80-81/TCP": {}, "80/udp": {} }).length).toBe(3);
  });

  test("are published as the port's annotation says, or the container's", () => {
    const Annotations = { "tsd.publish": "socket", "tsd.publish.81/tcp": "nat", other: "socket" };
    const modes = of({ "80/tcp": [{}], "81/tcp": [{}] }, { Annotations }).map(({ mode }) => mode);
    expect(modes).toEqual(["socket", "nat"]);
    const one = of({ "80/tcp": [{}], "80/udp": [{}] }, { Annotations: { "tsd.publish.80": "socket" } });
    expect(one.map(({ transport, mode }) => [transport, mode])).toEqual([
      ["tcp", "socket"],
      ["udp", undefined],
    ]);
  });

  test.each([
    [{ "x/tcp": [{}] }, {}, 'invalid port specification: "x/tcp"'],
    [{ "0/tcp": [{}] }, {}, 'invalid port specification: "0/tcp"'],
    [{ "65536/tcp": [{}] }, {}, 'invalid port specification: "65536/tcp"'],
    [{ "80-81/tcp": [{}] }, {}, "it is a range"],
    [{ "80/icmp": [{}] }, {}, "invalid proto: icmp"],
    [{ "80/tcp": [{ HostPort: "web" }] }, {}, 'invalid port specification: "web"'],
    [{ "80/tcp": [{ HostPort: "9-8" }] }, {}, 'invalid port specification: "9-8"'],
    [{ "80/tcp": [{ HostPort: "0-8" }] }, {}, 'invalid port specification: "0-8"'],
    [{ "80/tcp": [{ HostIp: "localhost" }] }, {}, "invalid IP address of the binding of 80/tcp: localhost"],
    [{ "80/tcp": [{}] }, { "tsd.publish": "proxy" }, "annotation tsd.publish=proxy: choose nat or socket"],
    [{ "80/tcp": [{}] }, { "tsd.publish.81": "nat" }, "annotation tsd.publish.81=nat: port 81/tcp is not published"],
  ])("are refused: %j %j", (bindings, Annotations, message) => {
    expect(() => of(bindings as never, { Annotations: Annotations as never })).toThrow(message);
  });
});
