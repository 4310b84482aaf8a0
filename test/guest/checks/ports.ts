/** Published ports and names on a host with SCTP, a firewall that lets nothing in, and a local stub for names. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type Answer, decode, encode } from "dns-packet";
import { createNetworkNamespace } from "../../../ffi/namespace.ts";
import { command, succeed } from "../../harness/command.ts";
import { Place, probe, TellingServer } from "../../network/probe.ts";
import { inside, inspect, ok, remove, serve, start, tsd, until } from "./guest.ts";

const hostAddress = { ipv4: "192.0.2.2", ipv6: "2001:db8::2" };
const outsideAddress = { ipv4: "192.0.2.1", ipv6: "2001:db8::1" };
const port = 80;
/** An emulated processor takes its time. */
const patienceMs = 20_000;

let outside: Place;
let host: Place;
const ids: string[] = [];

beforeAll(async () => {
  await serve();
  host = new Place("host", "/proc/self/ns/net");
  outside = new Place("outside", createNetworkNamespace());
  const peer = `peer name up0 netns /proc/${process.pid}/fd/${outside.namespace.number}`;
  await succeed(["sh", "-ec", `ip link add up0 type veth ${peer}\n${addressing(hostAddress)}`]);
  await there("sh", "-ec", `ip link set lo up\n${addressing(outsideAddress)}`);
  await succeed(["ip", "route", "add", "default", "via", outsideAddress.ipv4]);
});
afterAll(async () => {
  await remove(...ids);
  await command(["ip", "link", "del", "up0"]);
  host[Symbol.dispose]();
  outside[Symbol.dispose]();
});

function addressing({ ipv4, ipv6 }: typeof hostAddress): string {
  return `ip addr add ${ipv4}/24 dev up0; ip addr add ${ipv6}/64 dev up0 nodad; ip link set up0 up`;
}

/** Runs a program on the other machine. */
function there(...argv: string[]): Promise<string> {
  return succeed(["nsenter", `--net=/proc/${process.pid}/fd/${outside.namespace.number}`, ...argv]);
}

async function container(...flags: string[]): Promise<{ id: string; place: Place }> {
  const id = await start("exec sleep 1000", ...flags);
  ids.push(id);
  return { id, place: new Place(id, `/proc/${(await inspect(id)).State.Pid}/ns/net`) };
}

describe("a published port of SCTP", () => {
  /** Tells each client the address that it sees: perl's own sockets, for Bun has none of SCTP. */
  const server = `use Socket qw(:all); my $f = $ARGV[0] == 6 ? AF_INET6 : AF_INET;
    socket(my $s, $f, SOCK_STREAM, 132) or die "socket: $!";
    bind($s, $f == AF_INET6 ? pack_sockaddr_in6(${port}, Socket::IN6ADDR_ANY) : pack_sockaddr_in(${port}, INADDR_ANY)) or die "bind: $!";
    listen($s, 9) or die "listen: $!"; $| = 1; print "listening\\n";
    while (my $a = accept(my $c, $s)) {
      my ($e, $h) = getnameinfo($a, NI_NUMERICHOST); syswrite($c, $h); close($c);
    }`;
  const client = `use Socket qw(:all); alarm 20; my ($h, $p) = @ARGV;
    my ($e, $a) = getaddrinfo($h, $p, {flags => AI_NUMERICHOST, socktype => SOCK_STREAM});
    socket(my $s, $a->{family}, SOCK_STREAM, 132) or die "socket: $!";
    connect($s, $a->{addr}) or die "connect: $!"; sysread($s, my $b, 99); print $b;`;

  test.each([
    ["IPv4", "4", hostAddress.ipv4, outsideAddress.ipv4],
    ["IPv6", "6", hostAddress.ipv6, outsideAddress.ipv6],
  ])("is reached over %s, and the container sees the client", async (_, family, address, clientAddress) => {
    const { id } = await container("-p", `713${family}:${port}/sctp`);
    const { Pid } = (await inspect(id)).State;
    const listening = Bun.spawn(["nsenter", `--net=/proc/${Pid}/ns/net`, "perl", "-e", server, family], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const first = await listening.stdout.getReader().read();
    expect(new TextDecoder().decode(first.value)).toBe("listening\n");
    expect(await there("perl", "-e", client, address, `713${family}`)).toBe(clientAddress);
    listening.kill();
    await listening.exited;
  });

  test("is told by `port` and by `tsd ports`", async () => {
    expect(await ok("port", ids[0]!)).toContain(`${port}/sctp -> 0.0.0.0:7134`);
    expect(await ok("ports")).toContain("7134");
  });
});

describe("a firewall that lets nothing in, as ufw's,", () => {
  let web: Awaited<ReturnType<typeof container>>;
  const servers: TellingServer[] = [];
  beforeAll(async () => {
    const ways = ["-p", `7200:${port}`, "-p", `published=7201,target=${port + 1},mode=socket`];
    web = await container(...ways);
    const { IPAddress } = (await inspect(web.id)).NetworkSettings.Networks.bridge!;
    servers.push(new TellingServer(web.place, IPAddress, port), new TellingServer(web.place, IPAddress, port + 1));
    await succeed(["nft", "-f", "-"], {
      stdin: `table inet ufw {
        chain input {
          type filter hook input priority filter; policy drop;
          ct state established,related accept
          iif lo accept
          meta l4proto { icmp, ipv6-icmp } accept
        }
      }\n`,
    });
  });
  afterAll(async () => {
    for (const server of servers) server[Symbol.dispose]();
    web.place[Symbol.dispose]();
    await succeed(["nft", "delete", "table", "inet", "ufw"]);
  });
  const seen = (from: Place, to: number, timeoutMs?: number) => probe(from, "tcp", hostAddress.ipv4, to, timeoutMs);

  test("is passed by what the kernel translates, and holds for what is listened for", async () => {
    expect(await seen(outside, 7200, patienceMs)).toBe(outsideAddress.ipv4);
    expect(await seen(outside, 7201, 2_000)).toBeUndefined();
    // The host itself comes in by its loopback.
    expect(await seen(host, 7201, patienceMs)).toBeDefined();
  });

  test("lets in whom its rules let in", async () => {
    await succeed(["nft", "add", "rule", "inet", "ufw", "input", "tcp", "dport", "7201", "accept"]);
    expect(await seen(outside, 7201, patienceMs)).toBeDefined();
  });

  test("is as the administrator has made it", async () => {
    const rules = await succeed(["nft", "list", "chain", "inet", "ufw", "input"]);
    expect(rules).toContain("policy drop");
    expect(rules.split("\n").filter((line) => line.endsWith("accept"))).toHaveLength(4);
  });
});

describe("a host whose resolv.conf names a stub on its loopback, as systemd-resolved's,", () => {
  const stubNames: Record<string, string> = { "one.test": "198.51.100.1", "two.test": "198.51.100.2" };
  const outsideNames: Record<string, string> = { ...stubNames, "three.test": "198.51.100.3" };
  const opened: (() => void)[] = [];
  beforeAll(async () => {
    opened.push(await nameServer(host, "127.0.0.53", stubNames));
    opened.push(await nameServer(outside, outsideAddress.ipv4, outsideNames));
    mkdirSync("/run/systemd/resolve", { recursive: true });
    writeFileSync("/run/systemd/resolve/resolv.conf", `nameserver ${outsideAddress.ipv4}\nsearch test\n`);
    copyFileSync("/etc/resolv.conf", "/root/resolv.conf");
    replaceResolvConf("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch test\n");
    await ok("network", "create", "named");
  });
  afterAll(async () => {
    for (const close of opened) close();
    await remove(...ids.splice(0));
    await ok("network", "rm", "named");
    rmSync("/run/systemd/resolve", { recursive: true });
    renameSync("/root/resolv.conf", "/etc/resolv.conf");
  });

  async function nameServer(place: Place, address: string, names: Record<string, string>): Promise<() => void> {
    const socket = await place.run(() =>
      Bun.udpSocket({
        hostname: address,
        port: 53,
        socket: { data: (own, data, clientPort, client) => void own.send(answer(data, names), clientPort, client) },
      }),
    );
    return () => socket.close();
  }

  function answer(data: Buffer, names: Record<string, string>): Buffer {
    const { id, questions = [] } = decode(data);
    const answers = questions.flatMap(({ name, type }): Answer[] => {
      const found = names[name];
      return type === "A" && found !== undefined ? [{ name, type: "A", ttl: 1, data: found }] : [];
    });
    const rcode = questions.every(({ name }) => name in names) ? 0 : 3;
    return encode({ type: "response", id, flags: 0x0180 | rcode, questions, answers });
  }

  function replaceResolvConf(text: string): void {
    writeFileSync("/etc/resolv.conf.new", text);
    renameSync("/etc/resolv.conf.new", "/etc/resolv.conf");
  }

  test("has the servers behind the stub told to containers on the default network", async () => {
    const { id } = await container();
    expect(await inside(id, "cat", "/etc/resolv.conf")).toMatch(/^nameserver 192\.0\.2\.1$/m);
    expect(await inside(id, "nslookup", "-type=a", "one.test")).toContain("198.51.100.1");
  });

  test("is asked for containers on other networks, and its changes are followed", async () => {
    const { id } = await container("--network", "named");
    expect(await inside(id, "cat", "/etc/resolv.conf")).toMatch(/^nameserver 127\.0\.0\.11$/m);
    expect(await inside(id, "nslookup", "-type=a", "two.test")).toContain("198.51.100.2");
    const three = () => tsd(["exec", id, "nslookup", "-type=a", "three.test"]);
    expect((await three()).stdout).not.toContain("198.51.100.3");
    replaceResolvConf(`nameserver ${outsideAddress.ipv4}\n`);
    await until("the other server is asked", async () => (await three()).stdout.includes("198.51.100.3"));
  });
});
