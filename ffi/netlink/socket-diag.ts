/** Sockets of the network namespace, as sock_diag(7) tells of them: also those that /proc/net/tcp has no line for. */
import { AF_INET, AF_INET6, IPPROTO_TCP } from "../constants/socket.ts";
import { Message, NLM_F_DUMP } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

export const NETLINK_SOCK_DIAG = 4;

const SOCK_DIAG_BY_FAMILY = 20;
/** 1 << TCP_LISTEN, and since Linux 6.8 1 << TCP_BOUND_INACTIVE: bound, and neither listening nor connected. */
const listeningStates = (1 << 10) | (1 << 13);

/** struct inet_diag_req_v2 and struct inet_diag_msg of include/uapi/linux/inet_diag.h. */
const requestBytes = 56;
const requestPortAt = 8;
const answerPortAt = 4;
const answerAddressAt = 8;
const answerInodeAt = 68;

export interface BoundSocket {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  inode: number;
}

/**
 * Sockets of TCP that are bound to a port, and listen or do nothing at all; before Linux 6.8 only those that listen.
 * @throws NetlinkError ENOENT for a kernel without inet_diag.
 */
export function listBoundSockets(socket: NetlinkSocket, port: number): BoundSocket[] {
  return [AF_INET, AF_INET6].flatMap((family) => {
    const request = new Uint8Array(new ArrayBuffer(requestBytes));
    const view = new DataView(request.buffer);
    view.setUint8(0, family);
    view.setUint8(1, IPPROTO_TCP);
    view.setUint32(4, listeningStates, true);
    view.setUint16(requestPortAt, port, false);
    const subject = { call: "SOCK_DIAG_BY_FAMILY", object: `port ${port}` };
    return socket.dump(new Message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, subject).structure(request)).flatMap(({ body }) => {
      const answer = new DataView(body.buffer, body.byteOffset, body.byteLength);
      if (answer.getUint16(answerPortAt, false) !== port) return [];
      const length = family === AF_INET ? 4 : 16;
      const address = body.slice(answerAddressAt, answerAddressAt + length);
      return [{ address, inode: answer.getUint32(answerInodeAt, true) }];
    });
  });
}
