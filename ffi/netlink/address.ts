/** Addresses of interfaces over rtnetlink. rtnetlink(7), include/uapi/linux/if_addr.h. */
import { Attributes, Message, NLM_F_CREATE, NLM_F_EXCL, type Reply } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;

const IFA_F_NODAD = 0x02;

const ifaddrmsgLength = 8;

export const AF_INET = 2;
export const AF_INET6 = 10;

export interface InterfaceAddress {
  interfaceIndex: number;
  /** 4 or 16 bytes, network order. */
  address: Uint8Array;
  prefixLength: number;
  /** IPv4 only. */
  broadcast?: Uint8Array;
  /** IPv6 only: good at once, without asking the link whether somebody has it (IFA_F_NODAD). */
  skipDetection?: boolean;
}

/** @throws NetlinkError EEXIST when the interface has it already. */
export function addAddress(entry: InterfaceAddress): Message {
  const message = addressMessage(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "RTM_NEWADDR", entry);
  if (entry.broadcast !== undefined) message.bytes(IFA_BROADCAST, entry.broadcast);
  return message;
}

/** @throws NetlinkError EADDRNOTAVAIL when the interface does not have it. */
export function deleteAddress(entry: InterfaceAddress): Message {
  return addressMessage(RTM_DELADDR, 0, "RTM_DELADDR", entry);
}

export function listAddresses(socket: NetlinkSocket): InterfaceAddress[] {
  const structure = new Uint8Array(ifaddrmsgLength);
  const message = new Message(RTM_GETADDR, 0, { call: "RTM_GETADDR" }).structure(structure);
  return socket.dump(message).flatMap((reply) => decodeAddress(reply) ?? []);
}

/** Undefined for an address of another family than IPv4 and IPv6. */
export function decodeAddress(reply: Reply): InterfaceAddress | undefined {
  const view = new DataView(reply.body.buffer, reply.body.byteOffset, reply.body.byteLength);
  const attributes = new Attributes(reply.body, ifaddrmsgLength);
  // On a point-to-point link IFA_ADDRESS is the peer's; IFA_LOCAL, which IPv6 does not always send, is ours.
  const address = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS);
  const broadcast = attributes.bytes(IFA_BROADCAST);
  if (address === undefined || familyOf(address) !== reply.body[0]) return undefined;
  return {
    interfaceIndex: view.getUint32(4, true),
    address,
    prefixLength: reply.body[1]!,
    ...(broadcast !== undefined && { broadcast }),
  };
}

export function familyOf(address: Uint8Array): number {
  return address.length === 4 ? AF_INET : AF_INET6;
}

/** For errors: 4 bytes in dotted form, 16 bytes as eight groups. */
export function addressText(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  return Array.from({ length: address.length >> 1 }, (_, i) => view.getUint16(i * 2).toString(16)).join(":");
}

function addressMessage(type: number, flags: number, call: string, entry: InterfaceAddress): Message {
  const object = `${addressText(entry.address)}/${entry.prefixLength} on interface ${entry.interfaceIndex}`;
  const structure = new Uint8Array(ifaddrmsgLength);
  structure[0] = familyOf(entry.address);
  structure[1] = entry.prefixLength;
  structure[2] = entry.skipDetection === true ? IFA_F_NODAD : 0;
  new DataView(structure.buffer).setUint32(4, entry.interfaceIndex, true);
  return new Message(type, flags, { call, object })
    .structure(structure)
    .bytes(IFA_LOCAL, entry.address)
    .bytes(IFA_ADDRESS, entry.address);
}
