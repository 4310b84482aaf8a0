/** The ARP and neighbour discovery tables over rtnetlink. include/uapi/linux/neighbour.h. */
import { macText } from "./link.ts";
import { Attributes, Message, type Reply } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const RTM_GETNEIGH = 30;
const NDA_DST = 1;
const NDA_LLADDR = 2;

const ndmsgLength = 12;

const stateNames: [number, string][] = [
  [0x01, "incomplete"],
  [0x02, "reachable"],
  [0x04, "stale"],
  [0x08, "delay"],
  [0x10, "probe"],
  [0x20, "failed"],
  [0x40, "noarp"],
  [0x80, "permanent"],
];

export interface Neighbour {
  interfaceIndex: number;
  /** 4 or 16 bytes. */
  address: Uint8Array;
  /** Absent while the neighbour has not answered. */
  hardwareAddress?: string;
  state: string;
}

/** @param family AF_INET, AF_INET6, or 0 for both. */
export function listNeighbours(socket: NetlinkSocket, family: number): Neighbour[] {
  const structure = new Uint8Array(ndmsgLength);
  structure[0] = family;
  const message = new Message(RTM_GETNEIGH, 0, { call: "RTM_GETNEIGH" }).structure(structure);
  return socket.dump(message).flatMap((reply) => decodeNeighbour(reply) ?? []);
}

export function decodeNeighbour(reply: Reply): Neighbour | undefined {
  const view = new DataView(reply.body.buffer, reply.body.byteOffset, reply.body.byteLength);
  const attributes = new Attributes(reply.body, ndmsgLength);
  const address = attributes.bytes(NDA_DST);
  if (address === undefined) return undefined;
  const hardwareAddress = attributes.bytes(NDA_LLADDR);
  const state = view.getUint16(8, true);
  return {
    interfaceIndex: view.getInt32(4, true),
    address,
    ...(hardwareAddress?.length === 6 && { hardwareAddress: macText(hardwareAddress) }),
    state: stateNames.find(([bit]) => (state & bit) !== 0)?.[1] ?? "none",
  };
}
