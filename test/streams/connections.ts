import { readFileSync } from "node:fs";
import type { Engine } from "../harness/engine.ts";

/**
 * Connections of clients that the daemon has open, proc_net(5): each has the path of the socket that it came by, and is
 * of the client's network namespace.
 */
export function connections(engine: Engine): number {
  const sockets = readFileSync("/proc/net/unix", "utf8").split("\n");
  return sockets.filter((line) => line.endsWith(` ${engine.daemon.socket}`) && line.split(/\s+/)[5] === "03").length;
}
