/** Network interfaces over rtnetlink: RTM_NEWLINK and its siblings. rtnetlink(7), include/uapi/linux/if_link.h. */
import { Attributes, Message, NLM_F_CREATE, NLM_F_EXCL, type Reply, textOf } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWLINKPROP = 108;
const RTM_DELLINKPROP = 109;

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
export const IFLA_NET_NS_FD = 28;
const IFLA_LINK_NETNSID = 37;
const IFLA_PROP_LIST = 52;
const IFLA_ALT_IFNAME = 53;

export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BR_FORWARD_DELAY = 1;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const VETH_INFO_PEER = 1;

const IFF_UP = 0x1;
/** RFC 2863's ifOperStatus as the kernel numbers it. */
const IF_OPER_UP = 6;

/** The kernel's limit on an interface's name, without the NUL (IFNAMSIZ - 1). */
export const interfaceNameLengthMax = 15;

const ifinfomsgLength = 16;

export interface Link {
  index: number;
  name: string;
  /** The administrator's switch (IFF_UP), not whether there is a carrier. */
  up: boolean;
  /** It has a carrier, and what stands above it (a bridge that it is a port of) knows that. */
  operational: boolean;
  /** Bytes. */
  mtu: number;
  /** `02:42:ac:11:00:02`; absent for links without hardware addresses. */
  address?: string;
  /** The index of the bridge or bond that it is a port of. */
  master?: number;
  /** The index of the other end of a veth, or of the interface beneath; in another namespace when `peerNamespaceId` is there. */
  peerIndex?: number;
  peerNamespaceId?: number;
  /** `bridge`, `veth`, `dummy`, …; absent for hardware. */
  kind?: string;
  /** Free text that goes with the interface, at most 255 bytes. */
  alias?: string;
  /** Further names, each that of no other interface. */
  alternativeNames?: string[];
}

/** What can be set on an interface that exists. */
export interface LinkChange {
  up?: boolean;
  name?: string;
  mtu?: number;
  address?: string;
  /** The index of the bridge to become a port of; 0 to leave. */
  master?: number;
  alias?: string;
  /** Moves the interface into the network namespace that this descriptor refers to. */
  namespaceFd?: number;
}

/** @throws NetlinkError EEXIST when the name is taken. */
export function createBridge(bridge: { name: string; address: string; mtu: number }): Message {
  return newLink(bridge.name)
    .string(IFLA_IFNAME, bridge.name)
    .u32(IFLA_MTU, bridge.mtu)
    .bytes(IFLA_ADDRESS, macBytes(bridge.address))
    .nest(IFLA_LINKINFO, (info) =>
      info.string(IFLA_INFO_KIND, "bridge").nest(IFLA_INFO_DATA, (data) =>
        // There is no spanning tree to learn: ports forward at once.
        data.u32(IFLA_BR_FORWARD_DELAY, 0),
      ),
    );
}

/** A pair of interfaces: one here, the other in another namespace, both down. veth(4) */
export function createVeth(veth: {
  name: string;
  /** Absent: the kernel chooses one. */
  address?: string;
  mtu: number;
  master?: number;
  peer: { name: string; address: string; namespaceFd: number };
}): Message {
  const message = newLink(veth.name).string(IFLA_IFNAME, veth.name).u32(IFLA_MTU, veth.mtu);
  if (veth.address !== undefined) message.bytes(IFLA_ADDRESS, macBytes(veth.address));
  if (veth.master !== undefined) message.u32(IFLA_MASTER, veth.master);
  return message.nest(IFLA_LINKINFO, (info) =>
    info
      .string(IFLA_INFO_KIND, "veth")
      .nest(IFLA_INFO_DATA, (data) =>
        data.nest(VETH_INFO_PEER, (peer) =>
          peer
            .structure(ifinfomsg(0))
            .string(IFLA_IFNAME, veth.peer.name)
            .u32(IFLA_MTU, veth.mtu)
            .bytes(IFLA_ADDRESS, macBytes(veth.peer.address))
            .u32(IFLA_NET_NS_FD, veth.peer.namespaceFd),
        ),
      ),
  );
}

/** @param index 0 for the interface that is called `object`, which is not given another name then. */
export function setLink(index: number, change: LinkChange, object = `interface ${index}`): Message {
  const message = new Message(RTM_NEWLINK, 0, { call: "RTM_NEWLINK", object });
  message.structure(ifinfomsg(index, change.up));
  const name = index === 0 ? object : change.name;
  if (name !== undefined) message.string(IFLA_IFNAME, name);
  if (change.mtu !== undefined) message.u32(IFLA_MTU, change.mtu);
  if (change.address !== undefined) message.bytes(IFLA_ADDRESS, macBytes(change.address));
  if (change.master !== undefined) message.u32(IFLA_MASTER, change.master);
  if (change.alias !== undefined) message.string(IFLA_IFALIAS, change.alias);
  if (change.namespaceFd !== undefined) message.u32(IFLA_NET_NS_FD, change.namespaceFd);
  return message;
}

/** What can be set on a port of a bridge. */
export interface BridgePortChange {
  /** Isolated ports reach those that are not, and the bridge itself, but not each other. */
  isolated?: boolean;
  /** What came in by the port may leave by it again (hairpin mode). */
  reflects?: boolean;
}

export function setBridgePort(name: string, { isolated, reflects }: BridgePortChange): Message {
  const message = new Message(RTM_NEWLINK, 0, { call: "RTM_NEWLINK", object: name }).structure(ifinfomsg(0));
  message.string(IFLA_IFNAME, name);
  return message.nest(IFLA_LINKINFO, (info) =>
    info.string(IFLA_INFO_SLAVE_KIND, "bridge").nest(IFLA_INFO_SLAVE_DATA, (data) => {
      if (isolated !== undefined) data.u8(IFLA_BRPORT_ISOLATED, isolated ? 1 : 0);
      if (reflects !== undefined) data.u8(IFLA_BRPORT_MODE, reflects ? 1 : 0);
    }),
  );
}

/**
 * Deletes an interface by name, a veth with its peer. The caller stands still while the kernel waits for all users of
 * the interface: 15 to 35 ms.
 */
export function deleteLink(name: string): Message {
  return new Message(RTM_DELLINK, 0, { call: "RTM_DELLINK", object: name })
    .structure(ifinfomsg(0))
    .string(IFLA_IFNAME, name);
}

/** At most 127 bytes. @throws NetlinkError EEXIST when an interface has that name. */
export function addAlternativeName(index: number, name: string): Message {
  const message = new Message(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL, { call: "RTM_NEWLINKPROP", object: name });
  return alternativeName(message, index, name);
}

/** @throws NetlinkError EINVAL when the interface does not have it. */
export function deleteAlternativeName(index: number, name: string): Message {
  return alternativeName(new Message(RTM_DELLINKPROP, 0, { call: "RTM_DELLINKPROP", object: name }), index, name);
}

function alternativeName(message: Message, index: number, name: string): Message {
  return message.structure(ifinfomsg(index)).nest(IFLA_PROP_LIST, (list) => list.string(IFLA_ALT_IFNAME, name));
}

/** The interface of that name; undefined when there is none. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  const message = new Message(RTM_GETLINK, 0, { call: "RTM_GETLINK", object: name })
    .structure(ifinfomsg(0))
    .string(IFLA_IFNAME, name);
  try {
    return decodeLink(socket.get(message));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENODEV") return undefined;
    throw error;
  }
}

export function listLinks(socket: NetlinkSocket): Link[] {
  const message = new Message(RTM_GETLINK, 0, { call: "RTM_GETLINK" }).structure(ifinfomsg(0));
  return socket.dump(message).map(decodeLink);
}

export function decodeLink(reply: Reply): Link {
  const view = new DataView(reply.body.buffer, reply.body.byteOffset, reply.body.byteLength);
  const attributes = new Attributes(reply.body, ifinfomsgLength);
  const address = attributes.bytes(IFLA_ADDRESS);
  const master = attributes.u32(IFLA_MASTER);
  const peerIndex = attributes.u32(IFLA_LINK);
  const peerNamespaceId = attributes.u32(IFLA_LINK_NETNSID);
  const kind = attributes.nested(IFLA_LINKINFO)?.string(IFLA_INFO_KIND);
  const alias = attributes.string(IFLA_IFALIAS);
  const properties = attributes.nested(IFLA_PROP_LIST)?.entries ?? [];
  const alternativeNames = properties.filter(({ type }) => type === IFLA_ALT_IFNAME).map(({ value }) => textOf(value));
  return {
    index: view.getInt32(4, true),
    name: attributes.string(IFLA_IFNAME) ?? "",
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    operational: attributes.u8(IFLA_OPERSTATE) === IF_OPER_UP,
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    ...(address?.length === 6 && { address: macText(address) }),
    ...(master !== undefined && { master }),
    ...(peerIndex !== undefined && { peerIndex }),
    ...(peerNamespaceId !== undefined && { peerNamespaceId }),
    ...(kind !== undefined && { kind }),
    ...(alias !== undefined && { alias }),
    ...(alternativeNames.length > 0 && { alternativeNames }),
  };
}

/** @throws RangeError when the text is no MAC address. */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new RangeError(`${JSON.stringify(text)}: no MAC address`);
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}

export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** A request for a link, without its attributes. @param object its name, for errors. */
export function newLink(object: string, change: { up?: boolean } = {}): Message {
  const message = new Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, { call: "RTM_NEWLINK", object });
  return message.structure(ifinfomsg(0, change.up));
}

/** struct ifinfomsg: family, type, index, flags, and which flags to change. */
function ifinfomsg(index: number, up?: boolean): Uint8Array {
  const bytes = new Uint8Array(ifinfomsgLength);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, true);
  if (up !== undefined) {
    view.setUint32(8, up ? IFF_UP : 0, true);
    view.setUint32(12, IFF_UP, true);
  }
  return bytes;
}
