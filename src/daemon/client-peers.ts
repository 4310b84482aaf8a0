/**
 * Who connects to the API's sockets. Bun's node:http hands out no descriptor of a connection, so the one that was just
 * accepted is found among the process's descriptors: a Unix socket with the path of a listening one, not seen before.
 */
import { readFileSync } from "node:fs";
import { peerCredentials, socketCookie, unixSocketPath } from "../../ffi/socket/peer.ts";
import { namesIn } from "../core/directory.ts";
import { errorMessage, isErrno } from "../core/errors.ts";
import type { ClientInitiator } from "../core/initiator.ts";
import { log } from "../core/log.ts";

/** The kernel gives the lowest free number: mostly one that a connection before had. */
const recentMax = 16;

export class ClientPeers {
  /** What each descriptor was when it was looked at last, by the socket's cookie. */
  readonly #seen = new Map<number, bigint>();
  #recent: number[] = [];

  /** Call it when a socket listens already: all that is open by now is no connection that comes. */
  constructor() {
    for (const fd of openDescriptors()) this.#isNew(fd);
  }

  /**
   * Call it for each connection as soon as it is accepted, before the next one is.
   * @returns undefined when it cannot be found out, which is logged: the connection is served all the same.
   */
  accepted(): ClientInitiator | undefined {
    try {
      const fd = this.#recent.find((each) => this.#isNew(each)) ?? openDescriptors().find((each) => this.#isNew(each));
      if (fd === undefined) {
        log("warn", "could not find out who has connected to the API: no such connection among the open files");
        return undefined;
      }
      this.#recent = [fd, ...this.#recent.filter((each) => each !== fd)].slice(0, recentMax);
      return clientOf(fd);
    } catch (error) {
      log("warn", "could not find out who has connected to the API", { error: errorMessage(error) });
      return undefined;
    }
  }

  /** A connection of a listening Unix socket's that was not looked at before; it is seen from now on. */
  #isNew(fd: number): boolean {
    const cookie = socketCookie(fd);
    if (cookie === undefined || this.#seen.get(fd) === cookie) return false;
    this.#seen.set(fd, cookie);
    return unixSocketPath(fd) !== undefined;
  }
}

function openDescriptors(): number[] {
  return namesIn("/proc/self/fd").map(Number);
}

function clientOf(fd: number): ClientInitiator {
  const credentials = peerCredentials(fd);
  let command: string | undefined;
  return {
    kind: "client",
    ...credentials,
    // Few requests are told of: only those look.
    get command() {
      command ??= commandOf(credentials.pid);
      return command;
    },
  };
}

function commandOf(pid: number): string {
  if (pid === 0) return "";
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}
