/**
 * `tsd proxy`: holds the host's sockets of published ports. One for each daemon, which it outlives: `socket` ports work
 * on while the daemon is down.
 */
import { raiseOpenFilesLimit } from "../../../../ffi/limits.ts";
import { companionMain } from "../../companion/main.ts";
import { proxyProtocol } from "./protocol.ts";
import { ProxyService } from "./service.ts";

/** @returns the exit status. */
export function proxyMain(args: string[]): Promise<number> {
  raiseOpenFilesLimit();
  return companionMain({ mode: "proxy", protocol: proxyProtocol, open: (loop) => new ProxyService(loop) }, args);
}
