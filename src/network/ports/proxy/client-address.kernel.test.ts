import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { SO_REUSEADDR, SOL_SOCKET } from "../../../../ffi/constants/socket.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import { createNetworkNamespace } from "../../../../ffi/namespace.ts";
import { bind, connect, receive, setOption, streamSocket } from "../../../../ffi/socket/socket.ts";
import { hostAddress, outsideAddress, run, Testbed, within } from "../../testbed.ts";
import { socketAddressOf } from "./endpoint.ts";
import type { HostSocket } from "./protocol.ts";
import { TestProxy } from "./testing/proxy-process.ts";

const root = process.getuid?.() === 0;
const gateway = { 4: "10.9.0.1", 6: "fd00:9::1" } as const;
const container = { 4: "10.9.0.2", 6: "fd00:9::2" } as const;
const outside = { 4: outsideAddress, 6: "2001:db8::1" } as const;
const host = { 4: hostAddress, 6: "2001:db8::2" } as const;
const families = [4, 6] as const;
/** A chain of that type has flows translated, a rule that asks for them has them tracked. */
const natTable = "table inet t { chain c { type nat hook postrouting priority 100; ct state new counter; }; }";

/** A client, and what the server in the container says of it. */
type Ask = (from: Fd, address: string, port: number, clientPort?: number) => Promise<string>;

describe.skipIf(!root)("the client's address, as the container sees it through tsd proxy", () => {
  let bed: Testbed;
  let web: Fd;
  let proxy: TestProxy;
  const servers: Disposable[] = [];

  beforeEach(async () => {
    bed = new Testbed();
    web = createNetworkNamespace();
    const peer = `/proc/${process.pid}/fd/${web.number}`;
    run("ip", "link", "add", "web0", "type", "veth", "peer", "name", "eth0", "netns", peer);
    script(bed.host, [
      `ip addr add ${gateway[4]}/24 dev web0`,
      `ip addr add ${gateway[6]}/64 dev web0 nodad`,
      `ip addr add ${host[6]}/64 dev eth0 nodad`,
      "ip link set web0 up",
      `echo '${natTable}' | nft -f -`,
    ]);
    script(bed.outside, [`ip addr add ${outside[6]}/64 dev eth0 nodad`]);
    script(web, [
      "ip link set lo up",
      `ip addr add ${container[4]}/24 dev eth0`,
      `ip addr add ${container[6]}/64 dev eth0 nodad`,
      "ip link set eth0 up",
      `ip route add default via ${gateway[4]}`,
      `ip route add default via ${gateway[6]}`,
    ]);
    for (const family of families) servers.push(tellTcp(container[family]), await tellUdp(container[family]));
    proxy = new TestProxy();
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) server[Symbol.dispose]();
    await proxy[Symbol.asyncDispose]();
    web.close();
    bed[Symbol.dispose]();
  });

  const script = (namespace: Fd, lines: string[]): string =>
    within(namespace, () => run("sh", "-ec", ["ip link show >/dev/null", ...lines].join("\n")));
  const tellTcp = (hostname: string): Disposable => {
    const server = within(web, () =>
      Bun.listen({
        hostname,
        port: 80,
        socket: {
          open: (socket) => void socket.end(`${socket.remoteAddress} ${socket.remotePort}`),
          data: () => undefined,
        },
      }),
    );
    return { [Symbol.dispose]: () => server.stop(true) };
  };
  const tellUdp = async (hostname: string): Promise<Disposable> => {
    const server = await within(web, () =>
      Bun.udpSocket({
        hostname,
        port: 80,
        socket: { data: (socket, _, port, address) => void socket.send(`${address} ${port}`, port, address) },
      }),
    );
    return { [Symbol.dispose]: () => server.close() };
  };
  const askTcp: Ask = async (from, address, port, clientPort) => {
    const to = socketAddressOf({ address, port });
    using fd = within(from, () => streamSocket(to));
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (clientPort !== undefined) bind(fd, { ...to, address: to.address.map(() => 0), port: clientPort });
    connect(fd, to);
    const buffer = new Uint8Array(100);
    for (let said = "", end = Date.now() + 3_000; Date.now() < end; await Bun.sleep(1)) {
      const length = receive(fd, buffer);
      if (length === 0) return said;
      said += new TextDecoder().decode(buffer.subarray(0, length ?? 0));
    }
    return "no answer";
  };
  const askUdp: Ask = async (from, address, port, clientPort = 0) => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const hostname = address.includes(":") ? "::" : "0.0.0.0";
    const client = await within(from, () =>
      Bun.udpSocket({ hostname, port: clientPort, socket: { data: (_, data) => resolve(data.toString()) } }),
    );
    client.send("?", port, address);
    const timer = setTimeout(() => resolve("no answer"), 3_000);
    const said = await promise;
    clearTimeout(timer);
    client.close();
    return said;
  };
  const ways = { tcp: askTcp, udp: askUdp } as const;
  const seenBy = async (ask: Ask, from: Fd, address: string): Promise<string> =>
    (await ask(from, address, 8080)).split(" ")[0]!;
  const published = (transport: "tcp" | "udp", family: 4 | 6, more: Partial<HostSocket> = {}): HostSocket => ({
    transport,
    address: family === 4 ? "0.0.0.0" : "::",
    port: 8080,
    target: { address: container[family], port: 80 },
    shownClients: { except: [family === 4 ? "10.9.0.0/24" : "fd00:9::/64"] },
    ...more,
  });

  describe.each(["tcp", "udp"] as const)("%s:", (transport) => {
    const ask = ways[transport];

    test.each(families)(
      "IPv%d: with its port, from elsewhere and from an address of the host's own",
      async (family) => {
        expect(await proxy.hold([published(transport, family)])).toEqual([]);
        expect(await ask(bed.outside, host[family], 8080, 5_000)).toBe(`${outside[family]} 5000`);
        expect(await seenBy(ask, bed.host, host[family])).toBe(host[family]);
      },
    );

    test.each(families)("IPv%d: not from the loopback, from the container's network, or itself", async (family) => {
      await proxy.hold([published(transport, family)]);
      expect(await seenBy(ask, bed.host, family === 4 ? "127.0.0.1" : "::1")).toBe(gateway[family]);
      expect(await seenBy(ask, bed.host, gateway[family])).toBe(gateway[family]);
      expect(await seenBy(ask, web, host[family])).toBe(gateway[family]);
    });

    test("not where the families differ, and not where it is not asked for, until it is", async () => {
      const target = { address: container[6], port: 80 };
      await proxy.hold([published(transport, 4, { target })]);
      expect(await seenBy(ask, bed.outside, host[4])).toBe(gateway[6]);
      const { shownClients: _, ...hidden } = published(transport, 4, { port: 8081 });
      await proxy.hold([hidden]);
      expect((await ask(bed.outside, host[4], 8081)).split(" ")[0]).toBe(gateway[4]);
      await proxy.hold([published(transport, 4, { port: 8081 })]);
      expect((await ask(bed.outside, host[4], 8081)).split(" ")[0]).toBe(outside[4]);
    });

    test("with another port where the client's is there already, by another port of the host's", async () => {
      await proxy.hold([published(transport, 4)], [published(transport, 4, { port: 8081 })]);
      expect(await ask(bed.outside, host[4], 8080, 5_000)).toBe(`${outside[4]} 5000`);
      const [address, port] = (await ask(bed.outside, host[4], 8081, 5_000)).split(" ");
      expect([address, port === "5000"]).toEqual([outside[4], false]);
    });

    test("nobody tracks: it sees the gateway, and is served", async () => {
      run("nft", "flush", "ruleset");
      await proxy.hold([published(transport, 4)]);
      expect(await seenBy(ask, bed.outside, host[4])).toBe(gateway[4]);
    });

    test("without CAP_NET_ADMIN it sees the gateway, and that is said once", async () => {
      await proxy[Symbol.asyncDispose]();
      proxy = new TestProxy(["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
      await proxy.hold([published(transport, 4)]);
      for (let count = 0; count < 2; count++) expect(await seenBy(ask, bed.outside, host[4])).toBe(gateway[4]);
      expect(proxy.log.match(/containers see their gateway.*EPERM/g)).toHaveLength(1);
    });
  });

  test("TCP: neither the client's nor the gateway is another's, when the host's ports have all been used before", async () => {
    writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "50000 50009");
    await proxy.hold([published("tcp", 4)]);
    for (let count = 0; count < 12; count++) {
      expect(await seenBy(askTcp, bed.outside, host[4])).toBe(outside[4]);
      expect(await seenBy(askTcp, bed.host, host[4])).toBe(host[4]);
      expect(await seenBy(askTcp, bed.host, "127.0.0.1")).toBe(gateway[4]);
    }
  });

  test("bytes go both ways in windows of any size", async () => {
    const js = (namespace: Fd, code: string) =>
      within(namespace, () => Bun.spawn([process.execPath, "-e", code], { stderr: "inherit" }));
    const echo = `require("net").createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen(81, "${container[4]}")`;
    const server = js(web, `${echo}.on("listening", () => console.log("ready"))`);
    await server.stdout.getReader().read();
    await proxy.hold([published("tcp", 4, { target: { address: container[4], port: 81 } })]);
    const client = js(
      bed.outside,
      `const data = require("crypto").randomBytes(50_000_000);
      const hash = (bytes) => require("crypto").createHash("sha256").update(bytes).digest("hex");
      const socket = require("net").connect({ port: 8080, host: "${host[4]}", allowHalfOpen: true });
      socket.end(data);
      const chunks = [];
      for await (const chunk of socket) chunks.push(chunk);
      const got = Buffer.concat(chunks);
      console.log(got.length, hash(got) === hash(data));`,
    );
    expect(await new Response(client.stdout).text()).toBe("50000000 true\n");
    server.kill();
  }, 20_000);

  const flows = (): string[] =>
    readFileSync("/proc/thread-self/net/nf_conntrack", "utf8")
      .split("\n")
      .filter((line) => line.includes(`dst=${container[4]}`));

  test("nobody is taken for a client of a proxy that was killed", async () => {
    proxy.truth = [[published("udp", 4)], [published("tcp", 4)]];
    await proxy.hold(...proxy.truth);
    expect(await askUdp(bed.outside, host[4], 8080, 5_000)).toBe(`${outside[4]} 5000`);
    const [before, { pid }] = [flows(), proxy];
    expect(before).toHaveLength(1);
    process.kill(pid, "SIGKILL");
    while (proxy.pid === pid || (await proxy.ask("status", {})).sockets < 2) await Bun.sleep(5);
    expect(flows()).toEqual([]);
    expect(await askUdp(bed.outside, host[4], 8080, 5_000)).toBe(`${outside[4]} 5000`);
  });

  test("a client of UDP that went and came back has its port again, and nothing is left of one that went", async () => {
    for (let count = 0; count < 3; count++) {
      await proxy.hold([published("udp", 4)]);
      expect(await askUdp(bed.outside, host[4], 8080, 5_000)).toBe(`${outside[4]} 5000`);
      expect(flows()).toHaveLength(1);
      await proxy.ask("drop", { names: ["udp 0.0.0.0 8080"] });
      expect(flows()).toEqual([]);
    }
  });
});
