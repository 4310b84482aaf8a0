import { describe, expect, test } from "bun:test";
import { parsePublish } from "./publish-flag.ts";

/** As docker's inspect writes them: `host:port->key`. */
const published = (...flags: string[]): string[] =>
  Object.entries(parsePublish(flags).portBindings).flatMap(([key, bindings]) =>
    bindings.map(({ HostIp, HostPort }) => `${HostIp}:${HostPort}->${key}`),
  );

describe("-p", () => {
  test.each([
    ["80", [":->80/tcp"]],
    ["8080:80", [":8080->80/tcp"]],
    ["8080:80/UDP", [":8080->80/udp"]],
    [":80", [":->80/tcp"]],
    ["127.0.0.1:8080:80/sctp", ["127.0.0.1:8080->80/sctp"]],
    ["127.0.0.1::80", ["127.0.0.1:->80/tcp"]],
    ["[::1]:8080:80", ["::1:8080->80/tcp"]],
    ["::1:8080:80", ["::1:8080->80/tcp"]],
    ["[::ffff:192.0.2.1]:1:2", ["::ffff:192.0.2.1:1->2/tcp"]],
    ["8000-8010:80", [":8000-8010->80/tcp"]],
    ["8000-8002:80-82", [":8000->80/tcp", ":8001->81/tcp", ":8002->82/tcp"]],
    ["80-81", [":->80/tcp", ":->81/tcp"]],
    ["0:80", [":0->80/tcp"]],
    ["published=8080,target=80", [":8080->80/tcp"]],
    ["target=80", [":->80/tcp"]],
    ["published=8080,target=80,protocol=udp,host-ip=::1,mode=host", ["::1:8080->80/udp"]],
  ])("%s", (flag, expected) => {
    expect(published(flag)).toEqual(expected);
  });

  test("collects the bindings of a port, and exposes what it publishes", () => {
    const flags = parsePublish(["1:80", "127.0.0.1:2:80"]);
    expect(flags).toEqual({
      exposedPorts: { "80/tcp": {} },
      portBindings: {
        "80/tcp": [
          { HostIp: "", HostPort: "1" },
          { HostIp: "127.0.0.1", HostPort: "2" },
        ],
      },
      annotations: {},
    });
  });

  test("says by annotations how a port is published", () => {
    const { annotations } = parsePublish(["target=80-81,mode=socket", "target=82,mode=nat", "83"]);
    expect(annotations).toEqual({
      "tsd.publish.80/tcp": "socket",
      "tsd.publish.81/tcp": "socket",
      "tsd.publish.82/tcp": "nat",
    });
  });

  test.each([
    ["abc", "invalid containerPort: abc"],
    ["80:abc", "invalid containerPort: abc"],
    ["80:0", "invalid containerPort: 0"],
    ["abc:80", "invalid hostPort: abc"],
    ["70000:80", "invalid hostPort: 70000"],
    ["8010-8000:80", "invalid hostPort: 8010-8000"],
    ["-1:80", "invalid hostPort: -1"],
    ["1.2.3:80:80", "invalid IP address: 1.2.3"],
    ["localhost:80:80", "invalid IP address: localhost"],
    ["[fe80::1%eth0]:80:80", "invalid IP address: fe80::1%eth0"],
    ["[::1:80:80", "missing ']' in address"],
    ["80:80/xyz", "invalid proto: xyz"],
    ["8000-8010:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8010"],
    ["", "no port specified: <empty>"],
    ["80:", "no port specified: 80:<empty>"],
    ["published=80", "no port specified: 80:/tcp<empty>"],
    ["published=80,target", "invalid publish opts format (should be name=value but got 'target')"],
    ["target=80,host-port=8080", "invalid publish opts: unknown name 'host-port'"],
    ["target=80,mode=ingress", "invalid publish opts: mode=ingress, choose nat or socket"],
  ])("refuses %j", (flag, message) => {
    expect(() => parsePublish([flag])).toThrow(message);
  });

  test("refuses two ways for one port", () => {
    expect(() => parsePublish(["target=80,mode=nat", "target=80,mode=socket"])).toThrow(
      "port 80/tcp is published with mode=nat and mode=socket",
    );
  });
});
