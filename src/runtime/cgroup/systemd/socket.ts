/** A D-Bus connection over a Unix socket. */
import type { Fd } from "../../../../ffi/fd.ts";
import { read, write } from "../../../../ffi/files.ts";
import { POLLIN, waitReady } from "../../../../ffi/poll.ts";
import { connectAbstractUnix, connectUnix } from "../../../../ffi/scm.ts";
import type { Transport } from "../../../core/dbus/connection.ts";
import { EngineError, errorMessage, isErrno } from "../../../core/errors.ts";

/** Where a socket is: a file, or a name without one. */
export type SocketAddress = { path: string } | { abstract: string };

/**
 * Reads an address as D-Bus writes it, `unix:path=/run/dbus/system_bus_socket`, several with semicolons between them:
 * "Server Addresses" of the specification. Of those that are not sockets of this machine nothing is kept.
 */
export function parseAddresses(text: string): SocketAddress[] {
  return text.split(";").flatMap((entry): SocketAddress[] => {
    const [transport, ...rest] = entry.split(":");
    if (transport !== "unix") return [];
    const pairs = rest.join(":").split(",");
    for (const pair of pairs) {
      const [key, ...value] = pair.split("=");
      if (key === "path") return [{ path: unescapeValue(value.join("=")) }];
      if (key === "abstract") return [{ abstract: unescapeValue(value.join("=")) }];
    }
    return [];
  });
}

function unescapeValue(value: string): string {
  const bytes = value.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString();
}

/** @throws SyscallError. */
export function connectSocket(address: SocketAddress): Transport {
  return new SocketTransport("path" in address ? connectUnix(address.path) : connectAbstractUnix(address.abstract));
}

export function formatAddress(address: SocketAddress): string {
  return "path" in address ? address.path : `@${address.abstract}`;
}

const bufferBytes = 65_536;

class SocketTransport implements Transport {
  readonly #socket: Fd;
  readonly #buffer = new Uint8Array(bufferBytes);

  constructor(socket: Fd) {
    this.#socket = socket;
  }

  send(bytes: Uint8Array): void {
    try {
      write(this.#socket, bytes);
    } catch (error) {
      if (!isErrno(error, "EPIPE", "ECONNRESET")) throw error;
      throw new EngineError("unavailable", `D-Bus: the other side has closed: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }

  receive(deadlineMs: number): Uint8Array | undefined {
    if (!waitReady(this.#socket, POLLIN, Math.max(0, deadlineMs - performance.now()))) return undefined;
    try {
      return this.#buffer.slice(0, read(this.#socket, this.#buffer));
    } catch (error) {
      if (isErrno(error, "ECONNRESET")) return new Uint8Array();
      throw error;
    }
  }

  close(): void {
    this.#socket.close();
  }
}
