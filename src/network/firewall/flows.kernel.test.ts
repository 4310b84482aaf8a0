import { describe, expect, test } from "bun:test";
import { IPPROTO_TCP } from "../../../ffi/constants/socket.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { connect, receive, send } from "../../../ffi/socket/socket.ts";
import { parseAddress } from "../address.ts";
import { ClientAddresses, ClientView } from "../ports/proxy/client-address.ts";
import { run } from "../testbed.ts";
import type { Firewall } from "./firewall.ts";
import { host6, hostAddress, Lab, noAnswer, outsideAddress, port, quickMs, serveAll } from "./lab.ts";

/** The host's own firewall, which goes on tracking connections when tsd's is gone. */
const tracking = "table inet own { chain c { type filter hook prerouting priority 0; ct state new counter; }; }";

/** A client of UDP that keeps its port. */
class Client implements Disposable {
  #heard = Promise.withResolvers<string>();
  readonly #socket: Bun.udp.ConnectedSocket<"buffer">;

  static async open(namespace: Fd, hostname: string, toPort: number): Promise<Client> {
    let client: Client | undefined;
    const socket = await inNetworkNamespace(namespace, () =>
      Bun.udpSocket({
        hostname: hostname.includes(":") ? "::" : "0.0.0.0",
        connect: { hostname, port: toPort },
        socket: {
          data: (_, data) => client?.hear(data.toString()),
          // "Connection refused": nobody is there.
          error: () => undefined,
        },
      }),
    );
    client = new Client(socket);
    return client;
  }

  private constructor(socket: Bun.udp.ConnectedSocket<"buffer">) {
    this.#socket = socket;
  }

  hear(text: string): void {
    this.#heard.resolve(text);
  }

  async ask(timeoutMs = 3_000): Promise<string> {
    this.#heard = Promise.withResolvers<string>();
    try {
      this.#socket.send("?");
    } catch {
      // That was about what was sent before; the kernel tells of it once.
      this.#socket.send("?");
    }
    const timer = setTimeout(() => this.hear(noAnswer), timeoutMs);
    const heard = await this.#heard.promise;
    clearTimeout(timer);
    return heard;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

describe.skipIf(process.getuid?.() !== 0)("a client of UDP that keeps sending from the same port", () => {
  let firewall: Firewall;
  const lab = new Lab(() => {
    firewall = lab.makeFirewall();
    firewall.setBridge(lab.bridge(1));
  });

  for (const [family, address] of [
    [4, hostAddress],
    [6, host6],
  ] as const) {
    test(`reaches a port that is published after it began, and the container that has it then, IPv${family}`, async () => {
      const [a, b] = [lab.container(1, 2), lab.container(1, 3)];
      using first = await serveAll(a.namespace, 80);
      using second = await serveAll(b.namespace, 80);
      using client = await Client.open(lab.outsideNamespace, address, 5000);
      expect(await client.ask(quickMs)).toBe(noAnswer);
      firewall.publish([port(a, family, "udp", 5000)]);
      expect(await client.ask()).not.toBe(noAnswer);
      firewall.unpublish([port(a, family, "udp", 5000)]);
      expect(await client.ask(quickMs)).toBe(noAnswer);
      firewall.publish([port(b, family, "udp", 5000)]);
      expect(await client.ask()).not.toBe(noAnswer);
      expect([first.heard.length, second.heard.length]).toEqual([1, 1]);
      // The same through a bridge that goes with all that is published there.
      firewall.removeBridge("tsd1");
      expect(await client.ask(quickMs)).toBe(noAnswer);
    });
  }

  test("is served by the container that has its port when the table was gone for a moment, in and out", async () => {
    const a = lab.container(1, 2);
    using inside = await serveAll(a.namespace, 80);
    using outside = await serveAll(lab.outsideNamespace, 80);
    firewall.publish([port(a, 4, "udp", 5000)]);
    run("sh", "-ec", `nft flush ruleset; echo '${tracking}' | nft -f -`);
    using client = await Client.open(lab.outsideNamespace, hostAddress, 5000);
    using container = await Client.open(a.namespace, outsideAddress, 80);
    expect(await Promise.all([client.ask(quickMs), container.ask(quickMs)])).toEqual([noAnswer, noAnswer]);
    firewall.check();
    expect(await Promise.all([client.ask(), container.ask()])).toEqual([outsideAddress, hostAddress]);
    expect(inside.heard).toEqual([outsideAddress]);
    expect(outside.heard).toEqual([a.ipv4, hostAddress]);
  });

  test("of others' is left alone: to another machine's port of the same number, or to another address of the host's", async () => {
    const [a, b] = [lab.container(1, 2), lab.container(1, 3)];
    using _outside = await serveAll(lab.outsideNamespace, 5000);
    using _own = await serveAll(a.namespace, 80);
    using elsewhere = await Client.open(b.namespace, outsideAddress, 5000);
    using toHost = await Client.open(lab.outsideNamespace, hostAddress, 5000);
    expect(await elsewhere.ask()).toBe(hostAddress);
    firewall.publish([port(a, 4, "udp", 5000, { hostAddress: parseAddress(hostAddress) })]);
    expect(await toHost.ask()).toBe(outsideAddress);
    const flows = (): string[] =>
      run("cat", "/proc/thread-self/net/nf_conntrack")
        .split("\n")
        .filter((line) => line.includes("dport=5000"))
        .map((line) => line.replace(/^.*?src/, "src").replace(/ mark.*/, ""))
        .sort();
    const before = flows();
    expect(before.length).toBe(2);
    // One of all addresses is no reason to end what leads where it should, or elsewhere.
    firewall.publish([port(b, 4, "udp", 5000), port(b, 4, "udp", 5001)]);
    firewall.unpublish([port(b, 4, "udp", 5000), port(b, 4, "udp", 5001)]);
    expect(flows()).toEqual(before);
  });
});

describe.skipIf(process.getuid?.() !== 0)("a connection made in a client's name while nothing is translated", () => {
  let firewall: Firewall;
  const lab = new Lab(() => {
    firewall = lab.makeFirewall();
    firewall.setBridge(lab.bridge(1));
  });

  test.each([
    ["no flow is tracked either", ""],
    ["somebody tracks flows", tracking],
  ])("goes on when the table is back, where %s", async (_, rules) => {
    const target = { address: new Uint8Array([172, 28, 1, 2]), port: 80 };
    const seen: string[] = [];
    const echo = inNetworkNamespace(lab.container(1, 2).namespace, () =>
      Bun.listen({
        hostname: "172.28.1.2",
        port: target.port,
        socket: {
          open: (socket) => void seen.push(socket.remoteAddress),
          data: (socket, data) => void socket.write(data),
        },
      }),
    );
    run("sh", "-ec", `nft flush ruleset; echo '${rules}' | nft -f -`);
    const view = new ClientView(new ClientAddresses(), IPPROTO_TCP, target, { except: [] });
    const { fd } = view.open({ address: new Uint8Array([192, 0, 2, 1]), port: 5000 })!;
    connect(fd, target);
    const says = async (text: string): Promise<string | undefined> => {
      const buffer = new Uint8Array(100);
      send(fd, new TextEncoder().encode(text));
      for (const end = Date.now() + 3_000; Date.now() < end; await Bun.sleep(1)) {
        const length = receive(fd, buffer);
        if (length !== undefined) return new TextDecoder().decode(buffer.subarray(0, length));
      }
      return undefined;
    };
    for (const end = Date.now() + 3_000; seen.length === 0 && Date.now() < end; ) await Bun.sleep(1);
    firewall.check();
    expect(await says("after")).toBe("after");
    expect(seen).toEqual(["172.28.1.1"]);
    fd.close();
    echo.stop(true);
  });
});
