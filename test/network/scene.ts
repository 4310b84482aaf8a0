/** A host with an uplink to another machine: network namespaces, a daemon in the first, probes in all of them. */
import { createNetworkNamespace } from "../../ffi/namespace.ts";
import { type CommandResult, succeed, until } from "../harness/command.ts";
import type { DaemonOptions } from "../harness/daemon.ts";
import { Engine } from "../harness/engine.ts";
import type { Workspace } from "../harness/workspace.ts";
import { Place, probe, TellingServer } from "./probe.ts";

/** Of the host's uplinks, in their order: eth0 has addresses, the others are for macvlan. Documentation ranges, RFC 5737. */
export const segments = [
  { device: "eth0", ipv4: "192.0.2", ipv6: "2001:db8" },
  { device: "eth1", ipv4: "198.51.100", ipv6: "2001:db8:1" },
  { device: "eth2", ipv4: "203.0.113", ipv6: "2001:db8:2" },
  { device: "eth3", ipv4: "198.18.3", ipv6: "2001:db8:3" },
] as const;
export const hostAddresses: { ipv4: string; ipv6: string } = { ipv4: "192.0.2.2", ipv6: "2001:db8::2" };
export const outsideAddresses: { ipv4: string; ipv6: string } = { ipv4: "192.0.2.1", ipv6: "2001:db8::1" };
/** Where telling servers listen. */
export const tellingPort = 4242;

/** What containers may have: the other machine sends it to the host, as somebody who wants in would. */
const privateRanges = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"];

export interface Addresses {
  ipv4: string;
  ipv6: string;
}

export class NetworkScene implements AsyncDisposable {
  readonly engine: Engine;
  readonly host: Place;
  readonly outside: Place;
  readonly #open: Disposable[] = [];
  readonly #telling = new Set<string>();

  private constructor(engine: Engine, host: Place, outside: Place) {
    this.engine = engine;
    this.host = host;
    this.outside = outside;
  }

  static async open(options: DaemonOptions = {}): Promise<NetworkScene> {
    let places: { host: Place; outside: Place } | undefined;
    const prepare = async (workspace: Workspace) => {
      const host = new Place("host", workspace.path("netns"));
      const outside = new Place("outside", createNetworkNamespace());
      places = { host, outside };
      workspace.onClose("uplinks", () => takeAway(host, outside));
      await connect(host, outside);
    };
    const engine = await Engine.open({ ...options, prepare });
    return new NetworkScene(engine, places!.host, places!.outside);
  }

  /** Plays in a scene that is closed at the end. @throws what `play` has thrown, and what was left over. */
  static async play(play: (scene: NetworkScene) => Promise<void>): Promise<void> {
    const scene = await NetworkScene.open();
    const problems: unknown[] = [];
    for (const step of [() => play(scene), () => scene[Symbol.asyncDispose]()]) {
      await step().catch((error: unknown) => problems.push(error));
    }
    if (problems.length > 0) throw new Error(problems.map(describeProblem).join("\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#open.reverse()) opened[Symbol.dispose]();
    await this.engine[Symbol.asyncDispose]();
  }

  /** A tsd command that has to succeed. */
  ok(...args: string[]): Promise<string> {
    return this.engine.daemon.ok(...args);
  }

  tsd(...args: string[]): Promise<CommandResult> {
    return this.engine.daemon.tsd(args);
  }

  /** Runs a program on the host; it has to succeed. */
  onHost(...argv: string[]): Promise<string> {
    return within(this.host, argv);
  }

  onOutside(...argv: string[]): Promise<string> {
    return within(this.outside, argv);
  }

  within(place: Place, ...argv: string[]): Promise<string> {
    return within(place, argv);
  }

  /** Starts a container that sleeps. @returns where it is. */
  async sleeper(name: string, ...flags: string[]): Promise<Place> {
    await this.engine.start(["--name", name, ...flags], "sleep", "86400");
    return this.placeOf(name);
  }

  async placeOf(container: string): Promise<Place> {
    const pid = await this.engine.inspect(container, "{{.State.Pid}}");
    return this.#keep(new Place(container, `/proc/${pid}/ns/net`));
  }

  /** A container's addresses on a network, "" where it has none. */
  async addressesOf(container: string, network: string): Promise<Addresses> {
    const template = `{{with index .NetworkSettings.Networks "${network}"}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}`;
    const [ipv4 = "", ipv6 = ""] = (await this.engine.inspect(container, template)).split(" ");
    return { ipv4, ipv6 };
  }

  /** The host's addresses on a network's bridge. */
  async gatewaysOf(network: string): Promise<Addresses> {
    const template = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
    const gateways = (await this.ok("network", "inspect", "--format", template, network)).trim().split(" ");
    const of = (isWanted: (gateway: string) => boolean) => gateways.find(isWanted)?.replace(/\/.*/, "") ?? "";
    return { ipv4: of((gateway) => !gateway.includes(":")), ipv6: of((gateway) => gateway.includes(":")) };
  }

  /** Has telling servers listen at a place, where there are none yet. @returns the addresses that there are. */
  tell(place: Place, { ipv4, ipv6 }: Addresses, port: number = tellingPort): string[] {
    const addresses = [ipv4, ipv6].filter((address) => address !== "");
    for (const address of addresses) {
      const key = `${place.name} ${address} ${port}`;
      if (this.#telling.has(key)) continue;
      this.#telling.add(key);
      this.#keep(new TellingServer(place, address, port));
    }
    return addresses;
  }

  #keep<T extends Disposable>(opened: T): T {
    this.#open.push(opened);
    return opened;
  }
}

/** With the reasons that it was given. */
function describeProblem(problem: unknown): string {
  const { stack = String(problem), cause } = problem as Error;
  return cause === undefined ? stack : `${stack}\n${describeProblem(cause)}`;
}

/** The argument vector that runs a program at a place. */
function inPlace(place: Place, argv: string[]): string[] {
  return ["nsenter", `--net=/proc/${process.pid}/fd/${place.namespace.number}`, ...argv];
}

function within(place: Place, argv: string[]): Promise<string> {
  return succeed(inPlace(place, argv));
}

/**
 * The other machine is a router with a bridge for each segment; that of eth2 sends frames back where they came from, as
 * a switch for VEPA does. IPv6 addresses are used at once, without a look for duplicates.
 */
async function connect(host: Place, outside: Place): Promise<void> {
  const outsideFile = `/proc/${process.pid}/fd/${outside.namespace.number}`;
  const onOutside = [
    "ip link set lo up",
    ...forwarding("1"),
    ...segments.flatMap(({ device, ipv4, ipv6 }) => [
      `ip link add name lan-${device} type bridge forward_delay 0 mcast_snooping 0`,
      `ip link set ${device} master lan-${device} up`,
      ...(device === "eth2" ? [`ip link set ${device} type bridge_slave hairpin on`] : []),
      `ip addr add ${ipv4}.1/24 dev lan-${device}`,
      `ip addr add ${ipv6}::1/64 dev lan-${device} nodad`,
      `ip link set lan-${device} up`,
    ]),
    ...privateRanges.map((range) => `ip route add ${range} via ${hostAddresses.ipv4}`),
    `ip route add fc00::/7 via ${hostAddresses.ipv6}`,
  ];
  const onHost = [
    // A new namespace takes it over from the machine, which may be running other containers.
    ...forwarding("0"),
    `ip addr add ${hostAddresses.ipv4}/24 dev eth0`,
    `ip addr add ${hostAddresses.ipv6}/64 dev eth0 nodad`,
    ...segments.map(({ device }) => `ip link set ${device} up`),
    `ip route add default via ${outsideAddresses.ipv4}`,
    `ip route add default via ${outsideAddresses.ipv6}`,
  ];
  for (const { device } of segments) {
    const peer = ["peer", "name", device, "netns", outsideFile];
    await within(host, ["ip", "link", "add", device, "type", "veth", ...peer]);
  }
  await within(outside, ["sh", "-ec", onOutside.join("\n")]);
  await within(host, ["sh", "-ec", onHost.join("\n")]);
  await untilConnected(host, outside);
}

function forwarding(value: string): string[] {
  return ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map((file) => `echo ${value} >/proc/sys/net/${file}`);
}

/** Bridges need a moment to learn that their ports have a carrier. */
async function untilConnected(host: Place, outside: Place): Promise<void> {
  for (const address of Object.values(outsideAddresses)) {
    using _ = new TellingServer(outside, address, tellingPort);
    await until(`${address} answers`, () => probe(host, "tcp", address, tellingPort));
  }
}

/** Before the look for what is left over: nothing but the uplinks may be there. */
async function takeAway(host: Place, outside: Place): Promise<void> {
  const links = JSON.parse(await within(host, ["ip", "-j", "link"])) as { ifname: string }[];
  const own = ["lo", ...segments.map(({ device }) => device as string)];
  const foreign = links.map(({ ifname }) => ifname).filter((name) => !own.includes(name));
  for (const { device } of segments) await within(host, ["ip", "link", "del", device]);
  host[Symbol.dispose]();
  outside[Symbol.dispose]();
  if (foreign.length > 0) throw new Error(`links that are left: ${foreign.join(" ")}`);
}
