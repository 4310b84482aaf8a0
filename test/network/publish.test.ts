/** Published ports: from where each is reached, and which client the container sees, over TCP and UDP. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { processesMatching } from "../bench/memory.ts";
import { until } from "../harness/command.ts";
import { Conversation, echoServer, type Place, probe, transports } from "./probe.ts";
import { type Addresses, hostAddresses, NetworkScene, outsideAddresses } from "./scene.ts";
import { expectedTable, formatTable } from "./table.ts";

/** The way is chosen for a port of the container's: each has its own. */
const containerPorts = { nat: 80, socket: 81 } as const;
/** By the name of a column: the address that a port is published on, "" for the default. Their ports are numbered from these. */
const published = {
  all: "",
  all4: "0.0.0.0",
  all6: "[::]",
  loop4: "127.0.0.1",
  loop6: "[::1]",
  addr4: hostAddresses.ipv4,
  addr6: `[${hostAddresses.ipv6}]`,
};
const firstPorts = { nat: 8001, socket: 8101 } as const;
type Mode = keyof typeof firstPorts;
/** Where a container gives back what it gets. */
const echoing = [
  { mode: "nat", port: 8201, containerPort: 90 },
  { mode: "socket", port: 8202, containerPort: 91 },
] as const;

/** A row: who asks which address. */
interface Question {
  name: string;
  from: Place;
  address: string;
}

/**
 * Of both modes. `peer` is on the container's network, `other` on another, `def` on the default one. `gate` is the
 * host's address on the container's bridge; what goes to a loopback address is never let in from outside, however it
 * comes there.
 */
const expected = expectedTable(`
                all      all4     all6     loop4  loop6  addr4    addr6
  host>loop4    gate     gate     -        gate   -      -        -
  host>loop6    gate     -        gate     -      gate   -        -
  host>addr4    host     host     -        -      -      host     -
  host>addr6    host     -        host     -      -      -        host
  host>gate4    gate     gate     -        -      -      -        -
  host>gate6    gate     -        gate     -      -      -        -
  outside>addr4 outside  outside  -        -      -      outside  -
  outside>addr6 outside  -        outside  -      -      -        outside
  outside>loop4 -        -        -        -      -      -        -
  outside>web4  -        -        -        -      -      -        -
  outside>web6  -        -        -        -      -      -        -
  other>addr4   other    other    -        -      -      other    -
  other>addr6   other    -        other    -      -      -        other
  other>gate4   other    other    -        -      -      -        -
  other>gate6   other    -        other    -      -      -        -
  other>loop4   -        -        -        -      -      -        -
  def>addr4     def      def      -        -      -      def      -
  def>addr6     def      -        def      -      -      -        def
  peer>addr4    gate     gate     -        -      -      gate     -
  peer>addr6    gate     -        gate     -      -      -        gate
  peer>gate4    gate     gate     -        -      -      -        -
  peer>gate6    gate     -        gate     -      -      -        -
  web>addr4     gate     gate     -        -      -      gate     -
  web>addr6     gate     -        gate     -      -      -        gate
  web>gate4     gate     gate     -        -      -      -        -
  web>gate6     gate     -        gate     -      -      -        -
`);

let scene: NetworkScene;
let web: Place;
const questions: Question[] = [];
/** What addresses are called in the table. */
const names = new Map<string, string>();
beforeAll(async () => {
  scene = await NetworkScene.open();
  await scene.ok("network", "create", "blue");
  await scene.ok("network", "create", "green");
  const flags = (Object.keys(firstPorts) as Mode[]).flatMap((mode) =>
    Object.values(published).flatMap((address, index) =>
      transports.flatMap((transport) => {
        const host = address === "" ? [] : [`host-ip=${address.replace(/^\[|\]$/g, "")}`];
        return [
          "-p",
          [
            `published=${firstPorts[mode] + index}`,
            `target=${containerPorts[mode]}`,
            `protocol=${transport}`,
            ...host,
            `mode=${mode}`,
          ].join(","),
        ];
      }),
    ),
  );
  for (const { mode, port, containerPort } of echoing) {
    flags.push("-p", `published=${port},target=${containerPort},mode=${mode}`);
  }
  web = await scene.sleeper("web", "--network", "blue", ...flags);
  const peer = await scene.sleeper("peer", "--network", "blue");
  const other = await scene.sleeper("other", "--network", "green");
  const def = await scene.sleeper("def");
  const container = await scene.addressesOf("web", "blue");
  for (const port of Object.values(containerPorts)) scene.tell(web, container, port);
  const gate = await scene.gatewaysOf("blue");
  const loop = { ipv4: "127.0.0.1", ipv6: "::1" };
  ask(scene.host, { loop, addr: hostAddresses, gate });
  ask(scene.outside, {
    addr: hostAddresses,
    loop: await forgeLoopback(scene.outside, hostAddresses.ipv4),
    web: container,
  });
  const otherGate = await scene.gatewaysOf("green");
  ask(other, { addr: hostAddresses, gate, loop: await forgeLoopback(other, otherGate.ipv4) });
  ask(def, { addr: hostAddresses });
  ask(peer, { addr: hostAddresses, gate });
  ask(web, { addr: hostAddresses, gate });
  name("host", hostAddresses);
  name("gate", gate);
  name("outside", outsideAddresses);
  name("other", await scene.addressesOf("other", "green"));
  name("def", await scene.addressesOf("def", "bridge"));
  name("peer", await scene.addressesOf("peer", "blue"));
  name("web", container);
}, 60_000);
afterAll(() => scene[Symbol.asyncDispose]());

function ask(from: Place, addresses: Record<string, Addresses>): void {
  for (const [to, { ipv4, ipv6 }] of Object.entries(addresses)) {
    if (ipv4 !== "") questions.push({ name: `${from.name}>${to}4`, from, address: ipv4 });
    if (ipv6 !== "") questions.push({ name: `${from.name}>${to}6`, from, address: ipv6 });
  }
}

function name(text: string, { ipv4, ipv6 }: Addresses): void {
  for (const address of [ipv4, ipv6]) names.set(address, text);
}

/** Makes a place send what is for 127.0.0.1 to a router, as nobody but somebody who wants in would. */
async function forgeLoopback(place: Place, router: string): Promise<Addresses> {
  const script = [
    "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet",
    "ip addr flush dev lo scope host",
    "ip route flush table local dev lo",
    `ip route add 127.0.0.1 via ${router}`,
  ];
  await scene.within(place, "sh", "-ec", script.join("\n"));
  return { ipv4: "127.0.0.1", ipv6: "" };
}

async function seenTable(mode: Mode): Promise<string> {
  const columns = Object.keys(published);
  const rows = await Promise.all(
    questions.map(async ({ name: row, from, address }) => {
      const cells = columns.map((_, index) => seen(from, address, firstPorts[mode] + index));
      return [row, ...(await Promise.all(cells))];
    }),
  );
  return formatTable([["", ...columns], ...rows]);
}

/** Whom the container sees; TCP before UDP where they differ. */
async function seen(from: Place, address: string, port: number): Promise<string> {
  const clients = await Promise.all(transports.map((transport) => probe(from, transport, address, port)));
  const [tcp, udp] = clients.map((client) => (client === undefined ? "-" : (names.get(client) ?? client)));
  return tcp === udp ? tcp! : `${tcp}/${udp}`;
}

async function expectAsBefore(): Promise<void> {
  for (const mode of ["nat", "socket"] as const) {
    expect(`${mode}\n${await seenTable(mode)}`).toBe(`${mode}\n${expected}`);
  }
}

test("from where a published port is reached, and whom the container sees", expectAsBefore);

test("a firewall that lets nothing in, as ufw's, holds for sockets, and the kernel translates before it", async () => {
  const outside = (mode: Mode) => seen(scene.outside, hostAddresses.ipv4, firstPorts[mode]);
  const chain = "{ type filter hook input priority filter; policy drop; }";
  await scene.onHost("nft", "add", "table", "inet", "ufw");
  try {
    await scene.onHost("nft", "add", "chain", "inet", "ufw", "input", chain);
    for (const match of [
      ["ct", "state", "established"],
      ["iif", "lo"],
    ])
      await allow(...match);
    expect([await outside("nat"), await outside("socket")]).toEqual(["outside", "-"]);
    await allow("meta", "l4proto", "{ tcp, udp }", "th", "dport", String(firstPorts.socket));
    expect(await outside("socket")).toBe("outside");
  } finally {
    await scene.onHost("nft", "delete", "table", "inet", "ufw");
  }
});

function allow(...match: string[]): Promise<string> {
  return scene.onHost("nft", "add", "rule", "inet", "ufw", "input", ...match, "accept");
}

describe("as before, and connections go on,", () => {
  const conversations: Conversation[] = [];
  const servers: Disposable[] = [];
  beforeAll(async () => {
    const { ipv4, ipv6 } = await scene.addressesOf("web", "blue");
    for (const { port, containerPort } of echoing) {
      for (const address of [ipv4, ipv6]) servers.push(echoServer(web, address, containerPort));
      conversations.push(await Conversation.open(scene.host, "127.0.0.1", port));
      conversations.push(await Conversation.open(scene.host, "::1", port));
      for (const address of Object.values(hostAddresses)) {
        conversations.push(await Conversation.open(scene.outside, address, port));
      }
    }
    await say("before");
  });
  afterAll(() => {
    for (const opened of [...conversations, ...servers]) opened[Symbol.dispose]();
  });
  const say = (text: string) => Promise.all(conversations.map((conversation) => conversation.say(text)));

  test("with the daemon killed, and with the next", async () => {
    const { daemon } = scene.engine;
    await daemon.stop("SIGKILL");
    await say("without a daemon");
    await expectAsBefore();
    await daemon.start();
    await say("with the next daemon");
    await expectAsBefore();
  });

  test("after somebody has flushed the ruleset", async () => {
    await scene.onHost("nft", "flush", "ruleset");
    const [address, port] = [hostAddresses.ipv4, firstPorts.nat];
    // Passed on meanwhile as ever; only who the client is nobody can tell.
    expect(await seen(scene.outside, address, firstPorts.socket)).toMatch(/gate|outside/);
    await until("the port is back", () => probe(scene.outside, "tcp", address, port, 50), 2_000);
    await say("after the flush");
    await expectAsBefore();
  });
});

describe("what serves sockets is one process, and", () => {
  test("all is as before once it was killed", async () => {
    const killed = proxies();
    expect(killed).toHaveLength(1);
    process.kill(killed[0]!, "SIGKILL");
    const [address, port] = [hostAddresses.ipv4, firstPorts.socket];
    await until("another one serves", () => {
      return proxies()[0] !== killed[0] && probe(scene.outside, "tcp", address, port, 50);
    });
    await expectAsBefore();
  });

  test("it listens to nothing once the last port is gone, and ends with the daemon", async () => {
    await scene.ok("rm", "-f", "web");
    const listening = await scene.onHost("ss", "-Hlntu");
    expect(listening.split("\n").filter((line) => /:8[0-9]{3}\s/.test(line))).toEqual([]);
    for (const port of [...Object.values(firstPorts), ...echoing.map(({ port }) => port)]) {
      expect(await probe(scene.outside, "tcp", hostAddresses.ipv4, port, 200)).toBeUndefined();
    }
    expect(await scene.onHost("nft", "-s", "list", "ruleset")).not.toMatch(/\b80[0-9]{2}\b/);
    await scene.engine.daemon.stop();
    await until("it has ended", () => proxies().length === 0);
    await scene.engine.daemon.start();
  });
});

/** The processes of this daemon's that hold sockets of published ports. */
function proxies(): number[] {
  return processesMatching(new RegExp(`tsd proxy .*${scene.engine.workspace.name}`));
}
