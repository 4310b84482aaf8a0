/** For tests of the firewall: bridges and containers on a testbed's host, and who hears what from whom. */
import { afterEach, beforeEach } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import type { Fd } from "../../../ffi/fd.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../../../ffi/namespace.ts";
import { parseAddress, parseSubnet } from "../address.ts";
import { hostAddress, ipBatch, outsideAddress, run, Testbed } from "../testbed.ts";
import { Firewall } from "./firewall.ts";
import type { BridgeRules, PortTranslation } from "./rules.ts";

/** The outside's and the host's addresses of IPv6. */
export const outside6 = "2001:db8:1::1";
export const host6 = "2001:db8:1::2";
export const noAnswer = "no answer";

export interface Container {
  namespace: Fd;
  ipv4: string;
  ipv6: string;
}

/**
 * A testbed with IPv6, whose host forwards; br_netfilter is off unless a test switches it on. Bridges are numbered:
 * tsd<n> has 172.28.<n>.1/24 and fd00:<n>::1/64, counted from 1. Made in a block of tests, it is new for each of them,
 * which then begins with `prepare`.
 */
export class Lab {
  #bed!: Testbed;
  readonly #containers: Container[] = [];
  readonly #firewalls: Firewall[] = [];

  constructor(prepare: () => void) {
    beforeEach(() => {
      this.#bed = new Testbed();
      this.#equip();
      prepare();
    });
    afterEach(() => {
      for (const firewall of this.#firewalls.splice(0)) firewall[Symbol.dispose]();
      for (const { namespace } of this.#containers.splice(0)) namespace.close();
      this.#bed[Symbol.dispose]();
    });
  }

  #equip(): void {
    for (const path of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) writeFileSync(`/proc/sys/net/${path}`, "1");
    this.setBridgeNetfilter(false);
    // A link-local address asks first whether somebody has it, for a second or two; until then nothing is forwarded.
    writeFileSync("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    ipBatch(`addr add ${host6}/64 dev eth0 nodad`, `route add default via ${outside6}`);
    this.outside(() => run("ip", "addr", "add", `${outside6}/64`, "dev", "eth0", "nodad"));
  }

  /** A daemon's firewall. It is closed after the test, if it did not. */
  makeFirewall(): Firewall {
    const firewall = new Firewall("tsd");
    this.#firewalls.push(firewall);
    return firewall;
  }

  /** Whether bridges hand frames to IP's chains: as modprobe br_netfilter has it. */
  setBridgeNetfilter(on: boolean): void {
    if (on && !existsSync("/proc/sys/net/bridge")) run("modprobe", "br_netfilter");
    for (const name of ["iptables", "ip6tables"]) {
      const path = `/proc/sys/net/bridge/bridge-nf-call-${name}`;
      if (on || existsSync(path)) writeFileSync(path, on ? "1" : "0");
    }
  }

  get outsideNamespace(): Fd {
    return this.#bed.outside;
  }

  get hostNamespace(): Fd {
    return this.#bed.host;
  }

  outside<T>(use: () => T): T {
    return inNetworkNamespace(this.#bed.outside, use);
  }

  /** @returns what the firewall is told of it. */
  bridge(number: number, changes: Partial<BridgeRules> = {}): BridgeRules {
    const name = `tsd${number}`;
    ipBatch(
      `link add ${name} type bridge`,
      `addr add 172.28.${number}.1/24 dev ${name}`,
      `addr add fd00:${number}::1/64 dev ${name} nodad`,
      `link set ${name} up`,
    );
    return {
      bridge: name,
      subnets: [parseSubnet(`172.28.${number}.0/24`), parseSubnet(`fd00:${number}::/64`)],
      internal: false,
      masquerade: { ipv4: true, ipv6: true },
      interContainer: true,
      ...changes,
    };
  }

  /** 172.28.<bridge>.<host> and fd00:<bridge>::<host>. */
  container(bridge: number, host: number): Container {
    const container: Container = {
      namespace: createNetworkNamespace(),
      ipv4: `172.28.${bridge}.${host}`,
      ipv6: `fd00:${bridge}::${host}`,
    };
    this.#containers.push(container);
    const veth = `v${bridge}-${host}`;
    const path = `/proc/${process.pid}/fd/${container.namespace.number}`;
    ipBatch(`link add ${veth} master tsd${bridge} up type veth peer name eth0 netns ${path}`);
    // For what a container sends to itself by the host's address, where br_netfilter is on.
    run("bridge", "link", "set", "dev", veth, "hairpin", "on");
    inNetworkNamespace(container.namespace, () =>
      ipBatch(
        "link set lo up",
        "link set eth0 up",
        `addr add ${container.ipv4}/24 dev eth0`,
        `addr add ${container.ipv6}/64 dev eth0 nodad`,
        `route add default via 172.28.${bridge}.1`,
        `route add default via fd00:${bridge}::1`,
      ),
    );
    // Asking lets the kernel's link watch catch up; until then the bridge sends nothing.
    ipBatch(`link show dev ${veth}`, `link show dev tsd${bridge}`);
    return container;
  }
}

/** How long is waited for what is not to come. */
export const quickMs = 250;
const bothTransports = ["tcp", "udp"] as const;

/** A port of a container's at all of the host's addresses, unless `more` has one. */
export function port(
  container: Pick<Container, "ipv4" | "ipv6">,
  family: 4 | 6,
  transport: PortTranslation["transport"],
  hostPort: number,
  more: Partial<PortTranslation> = {},
): PortTranslation {
  const target = parseAddress(family === 4 ? container.ipv4 : container.ipv6);
  const bridge = `tsd${container.ipv4.split(".")[2]}`;
  return { transport, family, hostPort, target, targetPort: 80, bridge, ...more };
}

/** The port for TCP and UDP, of both families. */
export function everywhere(container: Container, hostPort: number): PortTranslation[] {
  return bothTransports.flatMap((transport) => [
    port(container, 4, transport, hostPort),
    port(container, 6, transport, hostPort),
  ]);
}

/** The answer of TCP and UDP, which is to be the same. */
export async function hearBoth(question: Omit<Question, "transport">): Promise<string> {
  const answers = await Promise.all(bothTransports.map((transport) => hear({ ...question, transport })));
  return [...new Set(answers)].join(" and ");
}

export type Question = { from: Fd; to: string; port: number; transport?: "tcp" | "udp"; timeoutMs?: number };

/**
 * Servers of TCP and UDP on all addresses of both families, which tell each client the address that they see. `heard`
 * has those that asked by UDP, whether the answer reaches them or not.
 */
export async function serveAll(namespace: Fd, port: number): Promise<Disposable & { heard: string[] }> {
  const heard: string[] = [];
  const tcp = inNetworkNamespace(namespace, () =>
    Bun.listen({
      hostname: "::",
      port,
      socket: { open: (socket) => void socket.end(plain(socket.remoteAddress ?? noAnswer)), data: () => undefined },
    }),
  );
  const udp = await inNetworkNamespace(namespace, () =>
    Bun.udpSocket({
      hostname: "::",
      port,
      socket: {
        data: (socket, _, fromPort, from) => {
          heard.push(plain(from));
          try {
            socket.send(plain(from), fromPort, from);
          } catch {
            // That was about a client that is gone; the kernel tells of it once.
            socket.send(plain(from), fromPort, from);
          }
        },
        // About clients that are gone.
        error: () => undefined,
      },
    }),
  );
  return {
    heard,
    [Symbol.dispose]: () => {
      tcp.stop(true);
      udp.close();
    },
  };
}

/** An IPv4 address as a socket of IPv6 sees it, as it is. */
function plain(address: string): string {
  return address.replace(/^::ffff:/, "");
}

/** What a server says of who asks; "no answer" when nothing comes. */
export async function hear({ from, to, port, transport = "tcp", timeoutMs }: Question): Promise<string> {
  const limitMs = timeoutMs ?? 3_000;
  return transport === "tcp" ? hearTcp(from, to, port, limitMs) : hearUdp(from, to, port, limitMs);
}

async function hearTcp(from: Fd, hostname: string, port: number, timeoutMs: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let answer = "";
  const timer = setTimeout(() => resolve(noAnswer), timeoutMs);
  const connecting = inNetworkNamespace(from, () =>
    Bun.connect({
      hostname,
      port,
      socket: {
        data: (_, data) => {
          answer += data.toString();
        },
        close: () => resolve(answer === "" ? noAnswer : answer),
        connectError: () => resolve(noAnswer),
      },
    }),
  );
  connecting.catch(() => resolve(noAnswer));
  const said = await promise;
  clearTimeout(timer);
  void connecting.then((socket) => socket.terminate()).catch(() => undefined);
  return said;
}

async function hearUdp(from: Fd, hostname: string, port: number, timeoutMs: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve(noAnswer), timeoutMs);
  const socket = await inNetworkNamespace(from, () =>
    Bun.udpSocket({
      hostname: hostname.includes(":") ? "::" : "0.0.0.0",
      connect: { hostname, port },
      socket: { data: (_, data) => resolve(data.toString()), error: () => resolve(noAnswer) },
    }),
  );
  socket.send("?");
  const said = await promise;
  clearTimeout(timer);
  socket.close();
  return said;
}

export { hostAddress, outsideAddress };
