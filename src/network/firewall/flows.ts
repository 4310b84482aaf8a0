/**
 * Flows that go on as they began, though ports were published or withdrawn since, or the table was gone for a moment.
 * Connection tracking keeps the translation of a flow for as long as packets come. A client of TCP notices and connects
 * anew; one of UDP or SCTP that keeps sending from the same port would stay with a container that is gone, or with
 * nobody, for ever. Such flows are ended here: the next packet begins a new one.
 */
import { listAddresses } from "../../../ffi/netlink/address.ts";
import { deleteFlows, type Flow, listFlows } from "../../../ffi/netlink/conntrack.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { type Address, addressBytes, addressOf, contains, type Family } from "../address.ts";
import { protocolNumbers } from "./contents.ts";
import type { BridgeRules, PortTranslation } from "./rules.ts";

/** Where a packet would be translated to now. */
export type Translate = (protocol: number, destination: Address, port: number) => PortTranslation | undefined;

/**
 * Ends flows to ports that were just published which do not lead where they should.
 * @param translate asked with the destination of each such flow.
 */
export function endStaleFlows(socket: NetlinkSocket, ports: readonly PortTranslation[], translate: Translate): void {
  const isLocal = localAddresses();
  for (const [family, protocol, group] of grouped(ports.filter(outlivesItsPort))) {
    const [only] = group;
    const original = { protocol, ...(group.length === 1 && { destinationPort: only!.hostPort }) };
    const numbers = new Set(group.map(({ hostPort }) => hostPort));
    const stale = listFlows(socket, { family, original }).filter((flow) => {
      const { destination, destinationPort } = flow.original;
      if (destinationPort === undefined || !numbers.has(destinationPort)) return false;
      const port = translate(protocol, addressOf(destination), destinationPort);
      return port !== undefined && !leadsTo(flow, port) && isLocal(destination);
    });
    deleteFlows(socket, stale);
  }
}

/** Ends the flows that ports led to their targets which are withdrawn now. */
export function endFlowsTo(socket: NetlinkSocket, ports: readonly PortTranslation[]): void {
  const targets = Map.groupBy(ports.filter(outlivesItsPort), (port) => `${port.target.value}/${port.transport}`);
  for (const group of targets.values()) {
    const { family, target, targetPort, transport } = group[0]!;
    const protocol = protocolNumbers[transport];
    const reply = { source: addressBytes(target), protocol, ...(group.length === 1 && { sourcePort: targetPort }) };
    const flows = listFlows(socket, { family, reply }).filter((flow) =>
      group.some((port) => flow.original.destinationPort === port.hostPort && leadsTo(flow, port)),
    );
    deleteFlows(socket, flows);
  }
}

/**
 * Ends flows that containers began while the table was gone, and which left with an address that nobody can answer.
 * One that was answered is right as it is.
 */
export function endUnmasqueraded(socket: NetlinkSocket, bridges: readonly BridgeRules[]): void {
  const subnets = bridges.flatMap((rules) => rules.subnets);
  const masqueraded = bridges.flatMap((rules) =>
    rules.subnets.filter(({ family }) => rules.masquerade[family === 4 ? "ipv4" : "ipv6"]),
  );
  const isLocal = localAddresses();
  for (const family of new Set(masqueraded.map((subnet) => subnet.family))) {
    const stale = listFlows(socket, { family, answered: false }).filter(({ original, reply }) => {
      const source = addressOf(original.source);
      if (!equal(reply.destination, original.source)) return false;
      if (!masqueraded.some((subnet) => contains(subnet, source))) return false;
      return !subnets.some((subnet) => contains(subnet, addressOf(reply.source))) && !isLocal(reply.source);
    });
    deleteFlows(socket, stale);
  }
}

/**
 * Ends TCP flows whose translation tsd proxy has told of while nothing was translated (ports/proxy/client-address.ts).
 * They have got answers, though not such as would be translated now; they go on as they began.
 */
export function endUnshown(socket: NetlinkSocket, bridges: readonly BridgeRules[]): void {
  const subnets = bridges.flatMap((rules) => rules.subnets);
  const isLocal = localAddresses();
  for (const family of new Set(subnets.map((subnet) => subnet.family))) {
    const original = { protocol: protocolNumbers.tcp };
    const stale = listFlows(socket, { family, original, answered: false }).filter(({ original, reply }) => {
      if (equal(reply.destination, original.source) || !equal(reply.source, original.destination)) return false;
      const target = addressOf(original.destination);
      return subnets.some((subnet) => contains(subnet, target)) && isLocal(original.source);
    });
    deleteFlows(socket, stale);
  }
}

/** TCP's are noticed by whoever sends. What is not translated has no host's port. */
function outlivesItsPort({ transport, direct, passedOn }: PortTranslation): boolean {
  return transport !== "tcp" && direct !== true && passedOn !== true;
}

function grouped(ports: readonly PortTranslation[]): [Family, number, PortTranslation[]][] {
  return [...Map.groupBy(ports, ({ family, transport }) => `${family}/${transport}`).values()].map((group) => {
    const { family, transport } = group[0]!;
    return [family, protocolNumbers[transport], group];
  });
}

function leadsTo({ reply }: Flow, { target, targetPort, transport }: PortTranslation): boolean {
  if (reply.protocol !== protocolNumbers[transport] || reply.sourcePort !== targetPort) return false;
  return equal(reply.source, addressBytes(target));
}

/** Whether an address is this host's; it is asked only when there is something to decide. */
function localAddresses(): (address: Uint8Array) => boolean {
  let known: Set<string> | undefined;
  return (address) => {
    if (address.length === 4 && address[0] === 127) return true;
    if (known === undefined) {
      using route = new NetlinkSocket(NETLINK_ROUTE);
      known = new Set(listAddresses(route).map((entry) => entry.address.join()));
    }
    return known.has(address.join());
  };
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
