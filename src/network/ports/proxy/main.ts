/**
 * `tsd proxy`: holds the host's sockets of published ports. One for each daemon, which it outlives: `socket` ports work
 * on while the daemon is down.
 */
import { raiseOpenFilesLimit } from "../../../../ffi/limits.ts";
import type { EventLoop } from "../../companion/loop.ts";
import { companionMain } from "../../companion/main.ts";
import { proxyProtocol } from "./protocol.ts";
import { ProxyService } from "./service.ts";

/** @returns the exit status. */
export function proxyMain(args: string[]): Promise<number> {
  const descriptorsMax = raiseOpenFilesLimit();
  const open = (loop: EventLoop) => new ProxyService(loop, descriptorsMax);
  return companionMain({ mode: "proxy", protocol: proxyProtocol, open }, args);
}
