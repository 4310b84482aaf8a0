import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseAddress } from "../address.ts";
import { run } from "../testbed.ts";
import type { Firewall } from "./firewall.ts";
import {
  type Container,
  everywhere,
  hearBoth,
  host6,
  hostAddress,
  Lab,
  noAnswer,
  outside6,
  outsideAddress,
  port,
  quickMs,
  serveAll,
} from "./lab.ts";
import type { PortTranslation } from "./rules.ts";

describe.skipIf(process.getuid?.() !== 0)("the firewall", () => {
  let firewall: Firewall;
  const lab = new Lab(() => {
    firewall = lab.makeFirewall();
  });

  const list = (): string => run("nft", "-s", "list", "ruleset");
  const routeLocalnet = (bridge: string): string =>
    readFileSync(`/proc/sys/net/ipv4/conf/${bridge}/route_localnet`, "utf8").trim();

  test("published ports are reached from everywhere, by TCP and UDP, and show the client's own address where they can", async () => {
    for (const number of [1, 2]) firewall.setBridge(lab.bridge(number));
    firewall.setBridge(lab.bridge(3, { internal: true }));
    const target = lab.container(1, 2);
    const neighbour = lab.container(1, 3);
    const other = lab.container(2, 2);
    const inside = lab.container(3, 2);
    using _server = await serveAll(target.namespace, 80);
    firewall.publish(everywhere(target, 8080));

    const from = (fd: Container["namespace"], to: string): Promise<string> => hearBoth({ from: fd, to, port: 8080 });
    const outside = lab.outsideNamespace;
    const host = lab.hostNamespace;
    expect({
      "outside, IPv4": await from(outside, hostAddress),
      "outside, IPv6": await from(outside, host6),
      "the host by its own address, IPv4": await from(host, hostAddress),
      "the host by its own address, IPv6": await from(host, host6),
      "the host by the bridge's address": await from(host, "172.28.1.1"),
      "the host by 127.0.0.1": await from(host, "127.0.0.1"),
      "the host by 127.0.0.9": await from(host, "127.0.0.9"),
      "another network, IPv4": await from(other.namespace, hostAddress),
      "another network, IPv6": await from(other.namespace, host6),
      "another network by its gateway": await from(other.namespace, "172.28.2.1"),
      "the same network, IPv4": await from(neighbour.namespace, hostAddress),
      "the same network, IPv6": await from(neighbour.namespace, host6),
      "the container itself, IPv4": await from(target.namespace, hostAddress),
      "the container itself, IPv6": await from(target.namespace, host6),
    }).toEqual({
      "outside, IPv4": outsideAddress,
      "outside, IPv6": outside6,
      "the host by its own address, IPv4": hostAddress,
      "the host by its own address, IPv6": host6,
      "the host by the bridge's address": "172.28.1.1",
      "the host by 127.0.0.1": "172.28.1.1",
      "the host by 127.0.0.9": "172.28.1.1",
      "another network, IPv4": other.ipv4,
      "another network, IPv6": other.ipv6,
      "another network by its gateway": other.ipv4,
      "the same network, IPv4": "172.28.1.1",
      "the same network, IPv6": "fd00:1::1",
      "the container itself, IPv4": "172.28.1.1",
      "the container itself, IPv6": "fd00:1::1",
    });
    // An internal network reaches nothing; ::1 is not translated; neither is a port that is not published.
    const questions = [
      { from: inside.namespace, to: hostAddress, port: 8080 },
      { from: inside.namespace, to: "172.28.3.1", port: 8080 },
      { from: host, to: "::1", port: 8080 },
      { from: outside, to: hostAddress, port: 8081 },
    ];
    const answers = await Promise.all(questions.map((question) => hearBoth({ ...question, timeoutMs: quickMs })));
    expect(answers).toEqual(questions.map(() => noAnswer));

    // What listens there gets it.
    const own = await serveAll(host, 8080);
    expect(await hearBoth({ from: host, to: "::1", port: 8080 })).toBe("::1");
    own[Symbol.dispose]();

    firewall.unpublish(everywhere(target, 8080));
    expect(await hearBoth({ from: outside, to: hostAddress, port: 8080, timeoutMs: quickMs })).toBe(noAnswer);
  });

  test("networks do not reach each other, nobody reaches containers directly, and containers reach elsewhere masqueraded", async () => {
    for (const number of [1, 2]) firewall.setBridge(lab.bridge(number));
    firewall.setBridge(lab.bridge(3, { internal: true }));
    const [a, b, c, inside] = [lab.container(1, 2), lab.container(1, 3), lab.container(2, 2), lab.container(3, 2)];
    const hosts = [a, b, c, inside].map(({ namespace }) => namespace);
    const servers = await Promise.all([...hosts, lab.outsideNamespace].map((fd) => serveAll(fd, 80)));
    lab.outside(() =>
      run("sh", "-ec", `ip route add 172.28.0.0/16 via ${hostAddress}; ip route add fd00::/16 via ${host6}`),
    );
    const asked: [Container["namespace"], string, string][] = [
      [a.namespace, b.ipv4, a.ipv4],
      [a.namespace, b.ipv6, a.ipv6],
      [a.namespace, outsideAddress, hostAddress],
      [a.namespace, outside6, host6],
      [lab.hostNamespace, a.ipv4, "172.28.1.1"],
      [lab.hostNamespace, inside.ipv6, "fd00:3::1"],
      [a.namespace, c.ipv4, noAnswer],
      [a.namespace, c.ipv6, noAnswer],
      [a.namespace, inside.ipv4, noAnswer],
      [inside.namespace, a.ipv6, noAnswer],
      [inside.namespace, outsideAddress, noAnswer],
      [inside.namespace, outside6, noAnswer],
      [lab.outsideNamespace, a.ipv4, noAnswer],
      [lab.outsideNamespace, a.ipv6, noAnswer],
      [lab.outsideNamespace, inside.ipv4, noAnswer],
    ];
    const answers = await Promise.all(
      asked.map(([from, to, expected]) =>
        hearBoth({ from, to, port: 80, ...(expected === noAnswer && { timeoutMs: quickMs }) }),
      ),
    );
    expect(answers).toEqual(asked.map(([, , expected]) => expected));
    for (const server of servers) server[Symbol.dispose]();
  });

  test("a bridge takes packets of 127.0.0.1 only while a port of its is reached there", () => {
    for (const number of [1, 2]) firewall.setBridge(lab.bridge(number));
    const container: Container = { namespace: lab.hostNamespace, ipv4: "172.28.1.2", ipv6: "fd00:1::2" };
    const at = (address: string): PortTranslation =>
      port(container, 4, "tcp", 8080, { hostAddress: parseAddress(address) });
    firewall.publish([at(hostAddress), port(container, 6, "tcp", 8080)]);
    expect(routeLocalnet("tsd1")).toBe("0");
    firewall.publish([at("127.0.0.1"), port(container, 4, "udp", 8080)]);
    expect([routeLocalnet("tsd1"), routeLocalnet("tsd2")]).toEqual(["1", "0"]);
    run("ip", "link", "delete", "tsd1");
    firewall.setBridge(lab.bridge(1));
    expect(routeLocalnet("tsd1")).toBe("1");
    firewall.unpublish([at("127.0.0.1")]);
    expect(routeLocalnet("tsd1")).toBe("1");
    firewall.unpublish([port(container, 4, "udp", 8080)]);
    expect(routeLocalnet("tsd1")).toBe("0");
  });

  test("ports are published all or none, and the error names the port and who has it", () => {
    firewall.setBridge(lab.bridge(1));
    const container: Container = { namespace: lab.hostNamespace, ipv4: "172.28.1.2", ipv6: "fd00:1::2" };
    firewall.publish([port(container, 4, "tcp", 8080)]);
    const before = list();
    expect(() => firewall.publish([port(container, 4, "tcp", 8081), port(container, 4, "tcp", 8080)])).toThrow(
      "port 8080/tcp of every address: translated already to port 80 of 172.28.1.2",
    );
    expect(() => firewall.publish([port(container, 4, "tcp", 8082, { bridge: "tsd9" })])).toThrow(
      "port 8082/tcp of every address: no bridge tsd9",
    );
    run("ip", "link", "delete", "tsd1");
    firewall.unpublish([port(container, 4, "tcp", 8080)]);
    expect(() => firewall.publish([port(container, 4, "tcp", 8080)])).toThrow("ports at 127.0.0.1 cannot lead to tsd1");
    expect(list().replace(/\s+/g, " ")).toBe(before.replace(/\n\t\telements = .*8080.*/, "").replace(/\s+/g, " "));
  });

  test("the table is gone when it is torn down, but for what the administrator has in it", () => {
    // Where none is there is none to remove, and the next bridge makes it.
    firewall.tearDown();
    firewall.setBridge(lab.bridge(1));
    firewall.tearDown();
    expect(list()).toBe("");
    run("nft", "add", "table", "inet", "tsd");
    run("nft", "add", "chain", "inet", "tsd", "tsd-user");
    run("nft", "add", "rule", "inet", "tsd", "tsd-user", "ip saddr 10.0.0.1 drop");
    const before = list();
    firewall.setBridge({ ...lab.bridge(2) });
    expect(list()).toContain("jump tsd-user");
    firewall.tearDown();
    expect(list()).toBe(before);
  });
});
