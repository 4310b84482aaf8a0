import { describe, expect, test } from "bun:test";
import type { Fd } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { bind, connect, datagramSocket, send, setOption } from "../../../ffi/socket/socket.ts";
import { addressBytes, parseAddress } from "../address.ts";
import { run } from "../testbed.ts";
import type { Firewall } from "./firewall.ts";
import {
  everywhere,
  hear,
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

const solIp = 0;
/** IP_TRANSPARENT of ip(7): any source may be written. A container does the same by a raw socket. */
const optionTransparent = 19;

describe.skipIf(process.getuid?.() !== 0)("who is kept from whom", () => {
  let firewall: Firewall;
  const lab = new Lab(() => {
    firewall = lab.makeFirewall();
  });

  /** Several questions at once, each with what is to be heard. */
  async function expectAnswers(questions: [string, Fd, string, number, string][], ask = hearBoth): Promise<void> {
    const answers = await Promise.all(
      questions.map(async ([what, from, to, number, expected]) => {
        const question = { from, to, port: number, ...(expected === noAnswer && { timeoutMs: quickMs }) };
        return [what, await ask(question)] as const;
      }),
    );
    expect(Object.fromEntries(answers)).toEqual(
      Object.fromEntries(questions.map(([what, , , , expected]) => [what, expected])),
    );
  }

  /** Lets a namespace send to 127.0.0.1 elsewhere, as somebody with root on another machine or in a container can. */
  function sendLoopbackTo(namespace: Fd, gateway: string): void {
    const script = `ip route del local 127.0.0.0/8 dev lo table local; ip route del local 127.0.0.1 dev lo table local
      echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet; ip route add 127.0.0.0/8 via ${gateway}`;
    inNetworkNamespace(namespace, () => run("sh", "-ec", script));
  }

  test("an internal network does not lead to ports that tsd proxy passes on, but to the host's own", async () => {
    firewall.setBridge(lab.bridge(1));
    firewall.setBridge(lab.bridge(2, { internal: true }));
    const [web, inner] = [lab.container(1, 2), lab.container(2, 2)];
    // In place of tsd proxy, and a service of the host's.
    using _proxy = await serveAll(lab.hostNamespace, 8080);
    using _own = await serveAll(lab.hostNamespace, 8081);
    const ports = everywhere(web, 8080).map((each) => ({ ...each, passedOn: true as const }));
    firewall.publish(ports);
    await expectAnswers([
      ["inner to the gateway", inner.namespace, "172.28.2.1", 8080, noAnswer],
      ["inner to the gateway, IPv6", inner.namespace, "fd00:2::1", 8080, noAnswer],
      ["inner to the host's own", inner.namespace, "172.28.2.1", 8081, inner.ipv4],
      ["inner to the host's own, IPv6", inner.namespace, "fd00:2::1", 8081, inner.ipv6],
      ["outside", lab.outsideNamespace, hostAddress, 8080, outsideAddress],
      ["outside, IPv6", lab.outsideNamespace, host6, 8080, outside6],
      ["another network", web.namespace, "172.28.1.1", 8080, web.ipv4],
    ]);
    firewall.unpublish(ports);
    await expectAnswers([["inner to the gateway", inner.namespace, "172.28.2.1", 8080, inner.ipv4]]);
  });

  test("an internal network is not left by way of another container's flow, by forging its source", async () => {
    firewall.setBridge(lab.bridge(1));
    firewall.setBridge(lab.bridge(2, { internal: true }));
    const [accomplice, inner] = [lab.container(1, 2), lab.container(2, 2)];
    using outside = await serveAll(lab.outsideNamespace, 9000);
    const say = (from: Fd): void =>
      inNetworkNamespace(from, () => {
        const source = { address: addressBytes(parseAddress(accomplice.ipv4)), port: 5555 };
        const target = { address: addressBytes(parseAddress(outsideAddress)), port: 9000 };
        using socket = datagramSocket(source);
        setOption(socket, solIp, optionTransparent, 1);
        bind(socket, source);
        connect(socket, target);
        send(socket, Buffer.from("!"));
      });
    const heard = async (): Promise<number> => {
      await Bun.sleep(quickMs);
      return outside.heard.length;
    };
    say(accomplice.namespace);
    expect(await heard()).toBe(1);
    say(inner.namespace);
    expect(await heard()).toBe(1);
  });

  test("the host's own 127.0.0.1 is reached by nobody else, though a port published there opens the bridge to it", async () => {
    firewall.setBridge(lab.bridge(1));
    const [target, attacker] = [lab.container(1, 2), lab.container(1, 3)];
    using published = await serveAll(target.namespace, 80);
    using own = await serveAll(lab.hostNamespace, 9000);
    firewall.publish([port(target, 4, "udp", 8080, { hostAddress: parseAddress("127.0.0.1") })]);
    sendLoopbackTo(attacker.namespace, "172.28.1.1");
    sendLoopbackTo(lab.outsideNamespace, hostAddress);
    // As careless as a host can be.
    run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet");
    const ask = (from: Fd, to: string, number: number): Promise<string> =>
      hear({ from, to, port: number, transport: "udp", timeoutMs: quickMs });
    expect(await ask(lab.hostNamespace, "127.0.0.1", 8080)).toBe("172.28.1.1");
    const attack = async (): Promise<void> => {
      await Promise.all([
        ask(attacker.namespace, "127.0.0.1", 9000),
        ask(lab.outsideNamespace, "127.0.0.1", 9000),
        ask(lab.outsideNamespace, "127.0.0.1", 8080),
        ask(lab.outsideNamespace, hostAddress, 8080),
      ]);
    };
    await attack();
    expect({ own: own.heard, published: published.heard }).toEqual({ own: [], published: ["172.28.1.1"] });

    // Without the rules that drop them these packets arrive, all but the one that is not for 127.0.0.1.
    firewall[Symbol.dispose]();
    run("nft", "flush", "chain", "inet", "tsd", "raw");
    await attack();
    expect({ own: own.heard.sort(), published: published.heard }).toEqual({
      own: ["172.28.1.3", outsideAddress],
      published: ["172.28.1.1", outsideAddress],
    });
  });

  test("an internal network reaches its bridge's own addresses and no other one of the host's", async () => {
    firewall.setBridge(lab.bridge(1));
    firewall.setBridge(lab.bridge(2, { internal: true }));
    const [inside, neighbour, other] = [lab.container(2, 2), lab.container(2, 3), lab.container(1, 2)];
    using _host = await serveAll(lab.hostNamespace, 80);
    using _neighbour = await serveAll(neighbour.namespace, 80);
    const from = inside.namespace;
    await expectAnswers([
      ["the bridge, IPv4", from, "172.28.2.1", 80, inside.ipv4],
      ["the bridge, IPv6", from, "fd00:2::1", 80, inside.ipv6],
      ["its own network, IPv4", from, neighbour.ipv4, 80, inside.ipv4],
      ["its own network, IPv6", from, neighbour.ipv6, 80, inside.ipv6],
      ["another bridge, IPv4", from, "172.28.1.1", 80, noAnswer],
      ["another bridge, IPv6", from, "fd00:1::1", 80, noAnswer],
      ["the host, IPv4", from, hostAddress, 80, noAnswer],
      ["the host, IPv6", from, host6, 80, noAnswer],
    ]);
    // An answer by UDP would come from another of the host's addresses.
    const others: [string, Fd, string, number, string][] = [
      ["another network to the host", other.namespace, hostAddress, 80, other.ipv4],
      ["another network to the host's other bridge", other.namespace, "172.28.2.1", 80, other.ipv4],
    ];
    await expectAnswers(others, hear);
    firewall[Symbol.dispose]();
    run("nft", "flush", "chain", "inet", "tsd", "input");
    expect(await hear({ from, to: hostAddress, port: 80 })).toBe(inside.ipv4);
  });

  test("without inter-container communication neighbours do not talk, but for published ports, where bridges ask IP's chains", async () => {
    lab.setBridgeNetfilter(true);
    firewall.setBridge(lab.bridge(1, { interContainer: false }));
    firewall.setBridge(lab.bridge(2));
    const [a, b, c, d] = [lab.container(1, 2), lab.container(1, 3), lab.container(2, 2), lab.container(2, 3)];
    const servers = await Promise.all([a, b, c, d].map(({ namespace }) => serveAll(namespace, 80)));
    firewall.publish([...everywhere(b, 8080), ...everywhere(d, 8081)]);
    await expectAnswers([
      ["a neighbour, IPv4", a.namespace, b.ipv4, 80, noAnswer],
      ["a neighbour, IPv6", a.namespace, b.ipv6, 80, noAnswer],
      ["a neighbour's published port, IPv4", a.namespace, hostAddress, 8080, "172.28.1.1"],
      ["a neighbour's published port, IPv6", a.namespace, host6, 8080, "fd00:1::1"],
      ["its own published port", b.namespace, hostAddress, 8080, "172.28.1.1"],
      ["another network's neighbour, IPv4", c.namespace, d.ipv4, 80, c.ipv4],
      ["another network's neighbour, IPv6", c.namespace, d.ipv6, 80, c.ipv6],
      ["its own published port there, IPv4", d.namespace, hostAddress, 8081, "172.28.2.1"],
      ["its own published port there, IPv6", d.namespace, host6, 8081, "fd00:2::1"],
      ["across networks", a.namespace, hostAddress, 8081, a.ipv4],
      ["from outside", lab.outsideNamespace, hostAddress, 8080, outsideAddress],
      ["from the host's 127.0.0.1", lab.hostNamespace, "127.0.0.1", 8081, "172.28.2.1"],
      ["directly across networks", a.namespace, d.ipv4, 80, noAnswer],
    ]);
    for (const server of servers) server[Symbol.dispose]();
  });

  test("routed networks let published ports through at the container's own address, unprotected ones every port", async () => {
    const routed = { ipv4: "routed", ipv6: "routed" } as const;
    firewall.setBridge(
      lab.bridge(1, { gatewayMode: routed, masquerade: { ipv4: false, ipv6: false }, trustedInterfaces: [] }),
    );
    firewall.setBridge(lab.bridge(2, { gatewayMode: { ipv4: "nat-unprotected", ipv6: "nat" } }));
    firewall.setBridge(lab.bridge(3, { trustedInterfaces: ["eth0"] }));
    firewall.setBridge(lab.bridge(4, { internal: true }));
    const [a, b, c, inside] = [lab.container(1, 2), lab.container(2, 2), lab.container(3, 2), lab.container(4, 2)];
    const hosts = [a.namespace, b.namespace, c.namespace, lab.outsideNamespace];
    const servers = await Promise.all(hosts.flatMap((fd) => [serveAll(fd, 80), serveAll(fd, 81)]));
    lab.outside(() =>
      run("sh", "-ec", `ip route add 172.28.0.0/16 via ${hostAddress}; ip route add fd00::/16 via ${host6}`),
    );
    const direct = { direct: true, hostPort: 0 } as const;
    firewall.publish([
      port(a, 4, "tcp", 0, direct),
      port(a, 4, "udp", 0, direct),
      port(a, 6, "tcp", 0, direct),
      port(a, 6, "udp", 0, direct),
    ]);
    const from = lab.outsideNamespace;
    await expectAnswers([
      ["routed, published, IPv4", from, a.ipv4, 80, outsideAddress],
      ["routed, published, IPv6", from, a.ipv6, 80, outside6],
      ["routed, not published, IPv4", from, a.ipv4, 81, noAnswer],
      ["routed, not published, IPv6", from, a.ipv6, 81, noAnswer],
      ["routed, at the host's address", from, hostAddress, 80, noAnswer],
      ["routed, from another network", b.namespace, a.ipv4, 80, b.ipv4],
      ["routed, from an internal network", inside.namespace, a.ipv4, 80, noAnswer],
      ["routed, to outside with its own address", a.namespace, outsideAddress, 80, a.ipv4],
      ["unprotected, IPv4", from, b.ipv4, 81, outsideAddress],
      ["protected, IPv6", from, b.ipv6, 81, noAnswer],
      ["from a trusted interface, IPv4", from, c.ipv4, 81, outsideAddress],
      ["from a trusted interface, IPv6", from, c.ipv6, 81, outside6],
      ["from another network", b.namespace, c.ipv4, 81, noAnswer],
    ]);
    const ping = (to: string): string =>
      lab
        .outside(() => run("sh", "-c", `busybox ping -c 1 -W 1 ${to} >/dev/null && echo answers || echo silent`))
        .trim();
    expect([ping(a.ipv4), ping(a.ipv6), ping(b.ipv6)]).toEqual(["answers", "answers", "silent"]);
    firewall.unpublish([port(a, 4, "tcp", 0, direct), port(a, 4, "udp", 0, direct)]);
    await expectAnswers([["routed, withdrawn", from, a.ipv4, 80, noAnswer]]);
    for (const server of servers) server[Symbol.dispose]();
  });

  test("the administrator's rules in tsd-user come first, and are not touched", async () => {
    firewall.setBridge(lab.bridge(1));
    const target = lab.container(1, 2);
    using _server = await serveAll(target.namespace, 80);
    firewall.publish(everywhere(target, 8080));
    const from = lab.outsideNamespace;
    run("nft", "add", "rule", "inet", "tsd", "tsd-user", "ip", "saddr", outsideAddress, "counter", "drop");
    await expectAnswers([
      ["IPv4", from, hostAddress, 8080, noAnswer],
      ["IPv6", from, host6, 8080, outside6],
    ]);
    firewall.check();
    firewall.setBridge(lab.bridge(2));
    run("nft", "flush", "chain", "inet", "tsd", "forward");
    firewall.check();
    await expectAnswers([["after what is tsd's was put back", from, hostAddress, 8080, noAnswer]]);
    expect(run("nft", "list", "chain", "inet", "tsd", "tsd-user")).toMatch(/counter packets [1-9]\d* bytes \d+ drop/);
    run("nft", "flush", "chain", "inet", "tsd", "tsd-user");
    await expectAnswers([["without them", from, hostAddress, 8080, outsideAddress]]);
  });
});
