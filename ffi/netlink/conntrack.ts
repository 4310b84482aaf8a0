/**
 * Flows that connection tracking knows, over ctnetlink. include/uapi/linux/netfilter/nfnetlink_conntrack.h.
 *
 * A flow keeps the translation that its first packet got for as long as packets come, whatever the rules say later.
 */
import { addressText, familyOf } from "./address.ts";
import { Attributes, Message, NLM_F_CREATE, NLM_F_EXCL, type Reply } from "./message.ts";
import { nfgenmsg } from "./nftables/objects.ts";
import type { NetlinkSocket } from "./socket.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_NEW = 0;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_NAT_SRC = 6;
const CTA_TIMEOUT = 7;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_STATUS_MASK = 26;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const CTA_NAT_V4_MINIP = 1;
const CTA_NAT_V4_MAXIP = 2;
const CTA_NAT_PROTO = 3;
const CTA_NAT_V6_MINIP = 4;
const CTA_NAT_V6_MAXIP = 5;
const CTA_PROTONAT_PORT_MIN = 1;
const CTA_PROTONAT_PORT_MAX = 2;
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_FLAGS_ORIGINAL = 4;
const CTA_PROTOINFO_TCP_FLAGS_REPLY = 5;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** Which parts of a tuple the kernel compares; include/net/netfilter/nf_internals.h, CTA_FILTER_F_*. */
const filterFlags = { source: 1, destination: 2, protocol: 8, sourcePort: 16, destinationPort: 32 } as const;

const IPS_SEEN_REPLY = 2;
const IPPROTO_TCP = 6;
/** IP_CT_TCP_FLAG_BE_LIBERAL, as the value and as the mask of what is set: struct nf_ct_tcp_flags. */
const liberal = new Uint8Array([8, 8]);

const nfgenmsgLength = 4;
/** Answers to that many deletions fit into a socket's receive buffer. */
const deletionsAtOnce = 100;

/** One direction of a flow. */
export interface Tuple {
  /** 4 or 16 bytes, network order. */
  source: Uint8Array;
  destination: Uint8Array;
  /** IANA's number. */
  protocol: number;
  /** Absent where the protocol has none. */
  sourcePort?: number;
  destinationPort?: number;
}

export interface Flow {
  /** What whoever began it sends; and what it gets, which is not the same turned around where addresses are translated. */
  original: Tuple;
  reply: Tuple;
  /** Something has come back. */
  answered: boolean;
  id: number;
}

/** What flows are asked for: by what is there of each direction. Ports need the protocol. */
export interface FlowFilter {
  family: 4 | 6;
  original?: Partial<Tuple>;
  reply?: Partial<Tuple>;
  answered?: boolean;
}

/**
 * The flows of the default zone that match. The kernel compares what it can (since 5.8; since 5.15 what is answered),
 * so that the others need not be copied; all are looked at here again.
 */
export function listFlows(socket: NetlinkSocket, filter: FlowFilter): Flow[] {
  return decodeFlows(socket.dump(flowsMessage(filter)), filter);
}

/** A search for more addresses than this reads all flows: the kernel looks through its table twice for each. */
const searchesMax = 1;

/**
 * The flows of the default zone that begin or end at one of these addresses, all of one family. To look through a table
 * of 262,144 places, as is the default, takes the kernel 10 ms, whatever is in it: another process's time, but for
 * flows of IPv6, which the kernel cannot compare. The socket is to be used for nothing else meanwhile.
 */
export async function listFlowsOf(socket: NetlinkSocket, family: 4 | 6, addresses: Uint8Array[]): Promise<Flow[]> {
  const isSearched = family === 4 && addresses.length <= searchesMax;
  const filters: FlowFilter[] = isSearched
    ? addresses.flatMap((source) => [
        { family, original: { source } },
        { family, reply: { source } },
      ])
    : [{ family }];
  const wanted = new Set(addresses.map((address) => address.join()));
  const ends = ({ original, reply }: Flow) => [original.source, reply.source].map((address) => address.join());
  const found = new Map<number, Flow>();
  for (const filter of filters) {
    // Most are of no interest: whether an address is in one is seen before it is read.
    const mayBe = ({ body }: Reply): boolean => {
      const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      return addresses.some((address) => bytes.includes(address));
    };
    for (const flow of decodeFlows(await socket.dumpInBackground(flowsMessage(filter), mayBe), filter)) {
      if (ends(flow).some((address) => wanted.has(address))) found.set(flow.id, flow);
    }
  }
  return [...found.values()];
}

function flowsMessage(filter: FlowFilter): Message {
  const message = flowMessage(IPCTNL_MSG_CT_GET, "IPCTNL_MSG_CT_GET", filter.family);
  const { original, reply, answered } = filter;
  if (original !== undefined) encodeTuple(message, CTA_TUPLE_ORIG, original);
  if (reply !== undefined) encodeTuple(message, CTA_TUPLE_REPLY, reply);
  message.nest(CTA_FILTER, (flags) => {
    flags.u32(CTA_FILTER_ORIG_FLAGS, comparedByKernel(original)).u32(CTA_FILTER_REPLY_FLAGS, comparedByKernel(reply));
  });
  if (answered !== undefined) {
    message.u32be(CTA_STATUS, answered ? IPS_SEEN_REPLY : 0).u32be(CTA_STATUS_MASK, IPS_SEEN_REPLY);
  }
  return message;
}

function decodeFlows(answers: readonly Reply[], filter: FlowFilter): Flow[] {
  return answers.flatMap((answer) => {
    const flow = decodeFlow(answer);
    return flow !== undefined && matches(flow, filter) ? flow : [];
  });
}

function matches(flow: Flow, { original, reply, answered }: FlowFilter): boolean {
  if (answered !== undefined && flow.answered !== answered) return false;
  return isPartOf(original, flow.original) && isPartOf(reply, flow.reply);
}

function isPartOf(part: Partial<Tuple> | undefined, tuple: Tuple): boolean {
  const names = Object.keys(part ?? {}) as (keyof Tuple)[];
  return names.every((name) => {
    const [wanted, has] = [part![name], tuple[name]];
    if (wanted instanceof Uint8Array && has instanceof Uint8Array) return Buffer.compare(wanted, has) === 0;
    return wanted === has;
  });
}

/** Deletes flows; those that ended meanwhile are no error. @throws NetlinkError */
export function deleteFlows(socket: NetlinkSocket, flows: readonly Flow[]): void {
  for (let start = 0; start < flows.length; start += deletionsAtOnce) {
    const messages = flows.slice(start, start + deletionsAtOnce).map(deleteFlow);
    const refusal = socket.attempt(...messages).find(({ errno }) => errno !== "ENOENT");
    if (refusal !== undefined) throw refusal;
  }
}

function deleteFlow({ original, id }: Flow): Message {
  // Without a tuple the kernel would delete every flow; with the id not a later one of the same addresses and ports.
  return forgetFlow(original).u32be(CTA_ID, id);
}

/** Where many flows come from and go to, but for the ports that they come from. */
export interface FlowPath {
  source: Uint8Array;
  destination: Uint8Array;
  protocol: number;
  destinationPort: number;
  /** How long a first packet is waited for, in seconds. From then on a flow lasts as others of its protocol do. */
  timeoutS: number;
}

/**
 * Makes flows known before their first packets, so that they are translated without a rule. One message is written
 * over again and again: it is sent for each connection.
 *
 * How TCP's windows are scaled the kernel learns from the first packet of a flow, and not in every version where it has
 * the flow already (tcp_init_sender of nf_conntrack_proto_tcp.c). What it took for wrong would leave untranslated: it
 * is told to pass everything.
 */
export class FlowTemplate {
  readonly #path: FlowPath;
  readonly #message: Message;
  readonly #ports: number[] = [];
  readonly #shownAddresses: number[] = [];
  readonly #shownPorts: number[] = [];

  /** @param keepsPort of the address that the flows are to seem to come from; otherwise any that is free there. */
  constructor(path: FlowPath, keepsPort: boolean) {
    this.#path = path;
    const family = path.source.length === 4 ? 4 : 6;
    const flags = NLM_F_CREATE | NLM_F_EXCL;
    this.#message = flowMessage(IPCTNL_MSG_CT_NEW, "IPCTNL_MSG_CT_NEW", family, shownFlow(path), flags);
    const { source, destination, protocol, destinationPort } = path;
    encodeTuple(this.#message, CTA_TUPLE_ORIG, { source, destination, protocol }, (ports) => {
      this.#ports.push(ports.length + 4);
      ports.bytes(CTA_PROTO_SRC_PORT, portBytes(0)).bytes(CTA_PROTO_DST_PORT, portBytes(destinationPort));
    });
    encodeTuple(this.#message, CTA_TUPLE_REPLY, { source: destination, destination: source, protocol }, (ports) => {
      ports.bytes(CTA_PROTO_SRC_PORT, portBytes(destinationPort));
      this.#ports.push(ports.length + 4);
      ports.bytes(CTA_PROTO_DST_PORT, portBytes(0));
    });
    this.#message.u32be(CTA_TIMEOUT, path.timeoutS);
    this.#encodeSource(family, keepsPort);
    if (protocol !== IPPROTO_TCP) return;
    this.#message.nest(CTA_PROTOINFO, (info) => {
      info.nest(CTA_PROTOINFO_TCP, (tcp) => {
        tcp.bytes(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, liberal).bytes(CTA_PROTOINFO_TCP_FLAGS_REPLY, liberal);
      });
    });
  }

  #encodeSource(family: 4 | 6, keepsPort: boolean): void {
    this.#message.nest(CTA_NAT_SRC, (nat) => {
      const limits = family === 4 ? [CTA_NAT_V4_MINIP, CTA_NAT_V4_MAXIP] : [CTA_NAT_V6_MINIP, CTA_NAT_V6_MAXIP];
      for (const limit of limits) {
        this.#shownAddresses.push(nat.length + 4);
        nat.bytes(limit, this.#path.source);
      }
      if (!keepsPort) return;
      nat.nest(CTA_NAT_PROTO, (range) => {
        for (const limit of [CTA_PROTONAT_PORT_MIN, CTA_PROTONAT_PORT_MAX]) {
          this.#shownPorts.push(range.length + 4);
          range.bytes(limit, portBytes(0));
        }
      });
    });
  }

  /**
   * The message for one flow, until the next is asked for. The kernel refuses with EEXIST where there is a flow of
   * these addresses and ports already, in either direction.
   * @param shown what its packets are to leave with as their source.
   */
  flow(sourcePort: number, shown: { address: Uint8Array; port: number }): Message {
    const [from, to] = [portBytes(sourcePort), portBytes(shown.port)];
    for (const offset of this.#ports) this.#message.overwrite(offset, from);
    for (const offset of this.#shownAddresses) this.#message.overwrite(offset, shown.address);
    for (const offset of this.#shownPorts) this.#message.overwrite(offset, to);
    return this.#message;
  }
}

/** Lets a flow last so many seconds from now on, until its next packet. Refused with ENOENT when there is none. */
export function prolongFlow(original: Tuple, timeoutS: number): Message {
  const family = original.source.length === 4 ? 4 : 6;
  const message = flowMessage(IPCTNL_MSG_CT_NEW, "IPCTNL_MSG_CT_NEW", family, shownFlow(original));
  encodeTuple(message, CTA_TUPLE_ORIG, original);
  return message.u32be(CTA_TIMEOUT, timeoutS);
}

/** Deletes the flow that begins so, whichever it is. Refused with ENOENT when there is none. */
export function forgetFlow(original: Tuple): Message {
  const family = original.source.length === 4 ? 4 : 6;
  const message = flowMessage(IPCTNL_MSG_CT_DELETE, "IPCTNL_MSG_CT_DELETE", family, shownFlow(original));
  encodeTuple(message, CTA_TUPLE_ORIG, original);
  return message;
}

function shownFlow({ source, destination }: Pick<Tuple, "source" | "destination">): string {
  return `${addressText(source)} to ${addressText(destination)}`;
}

function flowMessage(type: number, call: string, family: 4 | 6, object?: string, flags = 0): Message {
  const subject = { call, ...(object !== undefined && { object }) };
  const structure = nfgenmsg(familyOf(new Uint8Array(family === 4 ? 4 : 16)), 0);
  return new Message((NFNL_SUBSYS_CTNETLINK << 8) | type, flags, subject).structure(structure);
}

function encodeTuple(
  message: Message,
  attribute: number,
  tuple: Partial<Tuple>,
  encodePorts?: (proto: Message) => void,
): void {
  const { source, destination, protocol, sourcePort, destinationPort } = tuple;
  message.nest(attribute, (both) => {
    both.nest(CTA_TUPLE_IP, (ip) => {
      if (source !== undefined) ip.bytes(source.length === 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source);
      if (destination !== undefined) ip.bytes(destination.length === 4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, destination);
    });
    both.nest(CTA_TUPLE_PROTO, (proto) => {
      if (protocol !== undefined) proto.u8(CTA_PROTO_NUM, protocol);
      if (sourcePort !== undefined) proto.bytes(CTA_PROTO_SRC_PORT, portBytes(sourcePort));
      if (destinationPort !== undefined) proto.bytes(CTA_PROTO_DST_PORT, portBytes(destinationPort));
      encodePorts?.(proto);
    });
  });
}

/** Not IPv6 addresses: kernels, up to 6.18 at least, take those that differ for equal and the other way round. */
function comparedByKernel(tuple: Partial<Tuple> | undefined): number {
  const names = Object.keys(filterFlags) as (keyof typeof filterFlags)[];
  return names.reduce((flags, name) => {
    const value = tuple?.[name];
    return value === undefined || (typeof value === "object" && value.length > 4) ? flags : flags | filterFlags[name];
  }, 0);
}

/** Undefined for a flow of another zone, which is somebody else's. */
export function decodeFlow(answer: Reply): Flow | undefined {
  const attributes = new Attributes(answer.body, nfgenmsgLength);
  const original = decodeTuple(attributes.nested(CTA_TUPLE_ORIG));
  const reply = decodeTuple(attributes.nested(CTA_TUPLE_REPLY));
  const id = attributes.u32be(CTA_ID);
  if (original === undefined || reply === undefined || id === undefined || attributes.has(CTA_ZONE)) return undefined;
  return { original, reply, id, answered: ((attributes.u32be(CTA_STATUS) ?? 0) & IPS_SEEN_REPLY) !== 0 };
}

function decodeTuple(attributes: Attributes | undefined): Tuple | undefined {
  const ip = attributes?.nested(CTA_TUPLE_IP);
  const proto = attributes?.nested(CTA_TUPLE_PROTO);
  const source = ip?.bytes(CTA_IP_V4_SRC) ?? ip?.bytes(CTA_IP_V6_SRC);
  const destination = ip?.bytes(CTA_IP_V4_DST) ?? ip?.bytes(CTA_IP_V6_DST);
  const protocol = proto?.u8(CTA_PROTO_NUM);
  if (source === undefined || destination === undefined || protocol === undefined) return undefined;
  const sourcePort = portOf(proto?.bytes(CTA_PROTO_SRC_PORT));
  const destinationPort = portOf(proto?.bytes(CTA_PROTO_DST_PORT));
  return {
    source,
    destination,
    protocol,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(destinationPort !== undefined && { destinationPort }),
  };
}

function portBytes(port: number): Uint8Array {
  return new Uint8Array([port >> 8, port & 0xff]);
}

function portOf(bytes: Uint8Array | undefined): number | undefined {
  return bytes && (bytes[0]! << 8) | bytes[1]!;
}
