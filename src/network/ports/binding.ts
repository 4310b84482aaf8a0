/**
 * What a published port consists of on the host: sockets of the proxy's, and a translation of the kernel's where it can
 * translate. It follows from the port and the container's addresses alone, so that it need not be on record.
 */
import { EngineError } from "../../core/errors.ts";
import {
  type Address,
  addressBytes,
  addressOf,
  type Family,
  formatAddress,
  parseAddress,
  parseSubnet,
} from "../../core/ip-address.ts";
import type { PortTranslation } from "../firewall/rules.ts";
import type { PortRequest, PublishedPort, PublishMode } from "./port.ts";
import type { HostSocket, ShownClients } from "./proxy/protocol.ts";

/** Where a container's ports are. */
export interface PublishTarget {
  ipv4?: string;
  ipv6?: string;
  /** The bridge that leads to it. */
  bridge: string;
  /** The families in which the network is routed: the container's own ports are opened, and none of the host's taken. */
  routed?: Family[];
  /** Absent: containers see this host as the client of what is passed on to them. */
  shownClients?: ShownFamilies;
  /** The network's own default address, before the daemon's: `com.docker.network.bridge.host_binding_ipv4`. */
  hostAddress?: string;
}

/** Where whatever a container answers comes back by this host, so that it may see its clients' own addresses. */
export interface ShownFamilies {
  families: Family[];
  /** The subnets of the container's networks: it answers there by itself. */
  except: string[];
}

export interface PublishDefaults {
  mode: PublishMode;
  /** The address that ports are published on without one; absent: every address of both families. */
  hostAddress?: string;
  /** The host has IPv6. */
  ipv6: boolean;
}

/** The addresses that a request is bound to; one port is chosen for all of them. */
export interface Binding {
  request: PortRequest;
  mode: PublishMode;
  addresses: Address[];
  /** Of those, where the network is routed: they have no port of the host's, and say no more than the family. */
  routed: Address[];
}

const any: Readonly<Record<Family, string>> = { 4: "0.0.0.0", 6: "::" };

/** @throws EngineError invalid_argument, unsupported: what cannot be published in that way. */
export function bindingOf(request: PortRequest, target: PublishTarget, defaults: PublishDefaults): Binding {
  const mode = request.mode ?? defaults.mode;
  const all = addressesOf(request, target, defaults);
  if (all.length === 0) {
    const name = `${request.containerPort}/${request.transport}`;
    throw new EngineError(
      "unsupported",
      `port ${name} cannot be published: the host has no IPv6, the container no IPv4`,
    );
  }
  // Whoever asks for a socket gets it; that the daemon publishes by sockets says nothing about networks that are routed.
  const isRouted = ({ family }: Address): boolean =>
    request.mode !== "socket" && hasFamily(target, family) && (target.routed ?? []).includes(family);
  const binding = {
    request,
    mode,
    addresses: all.filter((address) => !isRouted(address)),
    routed: all.filter(isRouted),
  };
  if (request.transport === "sctp") checkSctp(binding, target);
  return binding;
}

function addressesOf(request: PortRequest, target: PublishTarget, defaults: PublishDefaults): Address[] {
  if (request.hostAddress !== undefined) return [plain(parseAddress(request.hostAddress))];
  const chosen = target.hostAddress ?? defaults.hostAddress;
  // As Docker has it 0.0.0.0 as a default is no choice: every address is meant.
  if (chosen !== undefined && chosen !== any[4]) return [plain(parseAddress(chosen))];
  const families: Family[] = defaults.ipv6 ? [4, 6] : [4];
  // SCTP is not passed on between the families.
  const reachable = families.filter((family) => request.transport !== "sctp" || hasFamily(target, family));
  return reachable.map((family) => parseAddress(any[family]));
}

/** `::ffff:192.0.2.1` is an IPv4 address of the host's. */
function plain(address: Address): Address {
  const bytes = addressBytes(address);
  if (address.family === 4 || bytes.subarray(0, 12).toHex() !== "00000000000000000000ffff") return address;
  return addressOf(bytes.subarray(12));
}

function hasFamily({ ipv4, ipv6 }: PublishTarget, family: Family): boolean {
  return (family === 4 ? ipv4 : ipv6) !== undefined;
}

function checkSctp({ request, mode, addresses }: Binding, target: PublishTarget): void {
  const name = `${request.containerPort}/sctp`;
  if (mode === "socket") {
    throw new EngineError("unsupported", `port ${name} cannot be published with mode socket: tsd passes on no SCTP`, {
      hint: `publish it with mode nat: --annotation tsd.publish.${name}=nat`,
    });
  }
  for (const address of addresses) {
    const shown = formatAddress(address);
    if (!hasFamily(target, address.family)) {
      const text = `port ${name} cannot be published on ${shown}: the container has no IPv${address.family} address`;
      throw new EngineError("unsupported", text);
    }
    if (shown === "::1") {
      throw new EngineError("unsupported", `port ${name} cannot be published on ::1: the kernel does not translate it`);
    }
  }
}

/** A port as it is once its number is chosen. */
export function publishedPort(
  binding: Binding,
  address: Address,
  hostPort: number,
  target: PublishTarget,
): PublishedPort {
  const { transport, containerPort } = binding.request;
  const hostAddress = formatAddress(address);
  // What the kernel does not translate is passed on by a socket, whatever was asked for: it should not be called nat.
  const isTranslated = binding.mode === "nat" && hasFamily(target, address.family) && hostAddress !== "::1";
  return { transport, containerPort, hostAddress, hostPort, mode: isTranslated ? "nat" : "socket" };
}

/** A port that is opened at the container's own address. */
export function routedPort({ request }: Binding, { family }: Address): PublishedPort {
  const { transport, containerPort } = request;
  return { transport, containerPort, hostAddress: any[family], hostPort: 0, mode: "routed" };
}

/** The proxy's socket for it. */
export function socketOf(port: PublishedPort, target: PublishTarget): HostSocket | undefined {
  const { transport, hostAddress, hostPort, mode } = port;
  if (mode === "routed") return undefined;
  // The kernel may be without sockets of SCTP, or would load a module for one.
  if (transport === "sctp") return undefined;
  const socket: HostSocket = { transport, address: hostAddress, port: hostPort };
  // On [::] it listens even where the kernel translates: for [::1], which it does not.
  if (mode === "nat" && hostAddress !== any[6]) return socket;
  const address = targetAddress(port, target);
  const shown = mode === "socket" ? shownClientsOf(target, parseAddress(address).family) : undefined;
  return { ...socket, target: { address, port: port.containerPort }, ...(shown && { shownClients: shown }) };
}

function shownClientsOf({ shownClients }: PublishTarget, family: Family): ShownClients | undefined {
  if (shownClients === undefined || !shownClients.families.includes(family)) return undefined;
  return { except: shownClients.except.filter((subnet) => parseSubnet(subnet).family === family) };
}

/** Whether what is open can stay: whose addresses are shown may change meanwhile. */
export function isSameWay(a: PublishTarget | undefined, b: PublishTarget | undefined): boolean {
  return Bun.deepEquals(a && { ...a, shownClients: undefined }, b && { ...b, shownClients: undefined });
}

/** What the kernel is to translate for it. */
export function translationOf(port: PublishedPort, target: PublishTarget): PortTranslation | undefined {
  const { transport, hostAddress, hostPort, containerPort, mode } = port;
  const address = parseAddress(hostAddress);
  // Whoever names an address may mean that of an internal network.
  if (mode === "socket" && address.value !== 0n) return undefined;
  return {
    transport,
    family: address.family,
    ...(mode === "routed" && { direct: true }),
    ...(mode === "socket" && { passedOn: true }),
    ...(address.value !== 0n && { hostAddress: address }),
    hostPort,
    target: parseAddress(targetAddress(port, target)),
    targetPort: containerPort,
    bridge: target.bridge,
  };
}

/** Of the same family where the container has one. */
function targetAddress({ hostAddress }: PublishedPort, { ipv4, ipv6 }: PublishTarget): string {
  const address = hostAddress.includes(":") ? (ipv6 ?? ipv4) : (ipv4 ?? ipv6);
  if (address === undefined) throw new EngineError("conflict", "the container has no address to publish a port of");
  return address;
}
