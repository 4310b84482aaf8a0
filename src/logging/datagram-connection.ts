/** Sends messages as datagrams to a Unix socket. */
import type { Fd } from "../../ffi/fd.ts";
import { connectDatagram } from "../../ffi/scm.ts";
import { send } from "../../ffi/socket/socket.ts";
import { isErrno } from "../core/errors.ts";
import { type ConnectionEvents, DroppedMessage, type LogConnection } from "./remote-log.ts";

/** The event loop cannot wait for room in the queue of another's datagram socket: it is tried again. */
const fullPollMs = 5;

/**
 * @param sendLarge takes what is too long for a datagram; absent: such a message is dropped. @returns whether it was sent.
 * @throws SyscallError when nobody listens at `path`.
 */
export function connectToDatagrams(
  path: string,
  { room }: ConnectionEvents,
  sendLarge?: (socket: Fd, message: Uint8Array) => boolean,
): LogConnection {
  const socket = connectDatagram(path);
  let timer: Timer | undefined;
  const trySend = (message: Uint8Array): boolean => {
    try {
      return send(socket, message) !== undefined;
    } catch (error) {
      if (!isErrno(error, "EMSGSIZE")) throw error;
      if (sendLarge !== undefined) return sendLarge(socket, message);
      throw new DroppedMessage(`${path} takes no message of ${message.length} bytes`);
    }
  };
  return {
    send(message) {
      if (trySend(message)) return message.length;
      timer = setTimeout(room, fullPollMs);
      return 0;
    },
    close() {
      clearTimeout(timer);
      socket.close();
    },
  };
}
