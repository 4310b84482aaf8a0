/** Routes over rtnetlink. rtnetlink(7), include/uapi/linux/rtnetlink.h. */
import { AF_INET, AF_INET6, addressText, familyOf } from "./address.ts";
import { Attributes, Message, NLM_F_CREATE, NLM_F_EXCL, type Reply } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;

const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const RTM_F_CLONED = 0x200;

const rtmsgLength = 12;

/** Kinds of route that matter here, by rtm_type. */
const typeNames = ["unspecified", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable"];

export interface Route {
  family: number;
  /** 4 or 16 bytes; absent for a default route. */
  destination?: Uint8Array;
  prefixLength: number;
  gateway?: Uint8Array;
  /** The interface that packets leave by. */
  interfaceIndex?: number;
  metric?: number;
  /** Who made it (rtm_protocol): 2 is the kernel, 9 a router advertisement. */
  protocol: number;
  /** 254 is the main table, 255 the local one; VPNs keep tables of their own. */
  table: number;
  type: string;
}

export interface NewRoute {
  /** Absent for the default route. */
  destination?: { address: Uint8Array; prefixLength: number };
  gateway?: Uint8Array;
  interfaceIndex?: number;
  /** Of a default route without a gateway, which has no address to tell; 4 unless given. */
  family?: 4 | 6;
}

/** A route in the main table. @throws NetlinkError EEXIST, or ENETUNREACH for a gateway that is not on the link. */
export function addRoute(route: NewRoute): Message {
  return routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "RTM_NEWROUTE", route);
}

/** @throws NetlinkError ESRCH when there is none. */
export function deleteRoute(route: NewRoute): Message {
  return routeMessage(RTM_DELROUTE, 0, "RTM_DELROUTE", route);
}

/** The routes of all tables of a family (0 for both), without the cache's copies. */
export function listRoutes(socket: NetlinkSocket, family: number): Route[] {
  const structure = new Uint8Array(rtmsgLength);
  structure[0] = family;
  const message = new Message(RTM_GETROUTE, 0, { call: "RTM_GETROUTE" }).structure(structure);
  return socket.dump(message).flatMap((reply) => decodeRoute(reply) ?? []);
}

export function decodeRoute(reply: Reply): Route | undefined {
  const view = new DataView(reply.body.buffer, reply.body.byteOffset, reply.body.byteLength);
  if ((view.getUint32(8, true) & RTM_F_CLONED) !== 0) return undefined;
  const attributes = new Attributes(reply.body, rtmsgLength);
  const destination = attributes.bytes(RTA_DST);
  const gateway = attributes.bytes(RTA_GATEWAY);
  const interfaceIndex = attributes.u32(RTA_OIF) ?? firstHop(attributes);
  const metric = attributes.u32(RTA_PRIORITY);
  return {
    family: reply.body[0]!,
    prefixLength: reply.body[1]!,
    table: attributes.u32(RTA_TABLE) ?? reply.body[4]!,
    protocol: reply.body[5]!,
    type: typeNames[reply.body[7]!] ?? `type ${reply.body[7]}`,
    ...(destination !== undefined && { destination }),
    ...(gateway !== undefined && { gateway }),
    ...(interfaceIndex !== undefined && { interfaceIndex }),
    ...(metric !== undefined && { metric }),
  };
}

/** A route with several next hops names its interfaces in a list of struct rtnexthop; the first one stands for it. */
function firstHop(attributes: Attributes): number | undefined {
  const hops = attributes.bytes(RTA_MULTIPATH);
  if (hops === undefined || hops.length < 8) return undefined;
  return new DataView(hops.buffer, hops.byteOffset, hops.byteLength).getInt32(4, true);
}

function routeMessage(type: number, flags: number, call: string, route: NewRoute): Message {
  const { destination, gateway, interfaceIndex } = route;
  const known = destination?.address ?? gateway;
  const plain = route.family === 6 ? AF_INET6 : AF_INET;
  const family = known === undefined ? plain : familyOf(known);
  const to = destination ? `${addressText(destination.address)}/${destination.prefixLength}` : "default";
  const object = gateway === undefined ? to : `${to} via ${addressText(gateway)}`;
  const scope = gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const prefixLength = destination?.prefixLength ?? 0;
  const message = new Message(type, flags, { call, object }).structure(
    // struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags.
    new Uint8Array([family, prefixLength, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0]),
  );
  if (destination !== undefined) message.bytes(RTA_DST, destination.address);
  if (gateway !== undefined) message.bytes(RTA_GATEWAY, gateway);
  if (interfaceIndex !== undefined) message.u32(RTA_OIF, interfaceIndex);
  return message;
}
