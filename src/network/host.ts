/** The host as the network finds it: what its addresses and routes occupy, its MTU, whether it forwards. */
import { readFileSync, writeFileSync } from "node:fs";
import { AF_INET, listAddresses } from "../../ffi/netlink/address.ts";
import { listLinks } from "../../ffi/netlink/link.ts";
import { listRoutes, type Route } from "../../ffi/netlink/route.ts";
import type { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { tryParseAddress } from "./address.ts";
import { parseResolvConf, readHostResolvConf } from "./etc-files.ts";
import { type Obstacle, obstaclesOf } from "./obstacles.ts";

const RT_TABLE_MAIN = 254;
const ethernetMtu = 1500;

/** What subnets must not collide with; the interface's own addresses and routes do not count. */
export function readObstacles(route: NetlinkSocket, exceptInterface?: number): Obstacle[] {
  const servers = parseResolvConf(readHostResolvConf()).servers.flatMap((server) => tryParseAddress(server) ?? []);
  const host = { links: listLinks(route), addresses: listAddresses(route), routes: listRoutes(route, 0), servers };
  return obstaclesOf(host, exceptInterface);
}

/** The MTU of the interface of the default route, which containers' packets leave by; 1500 when there is none. */
export function defaultMtu(route: NetlinkSocket): number {
  const defaults = listRoutes(route, AF_INET).filter(isDefault);
  const [best] = defaults.sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0));
  const link = best && listLinks(route).find((each) => each.index === best.interfaceIndex);
  return link?.mtu ?? ethernetMtu;
}

function isDefault(route: Route): boolean {
  return route.destination === undefined && route.type === "unicast" && route.table === RT_TABLE_MAIN;
}

const forwardPath = "/proc/sys/net/ipv4/ip_forward";

/**
 * Lets the host forward IPv4, if it does not. `remember` gets the value that was there, before it is changed.
 * It is never switched off again: others may have come to rely on it.
 * @throws EngineError unsupported when it cannot be switched on.
 */
export function enableForwarding(remember: (setting: string, previous: string) => void): void {
  const previous = readFileSync(forwardPath, "utf8").trim();
  if (previous === "1") return;
  remember("net.ipv4.ip_forward", previous);
  try {
    writeFileSync(forwardPath, "1");
  } catch (error) {
    throw new EngineError("unsupported", `cannot make the host forward IPv4: ${errorMessage(error)}`, {
      hint: "sysctl -w net.ipv4.ip_forward=1",
      cause: error,
    });
  }
  log("info", "the host forwards IPv4 now", { setting: "net.ipv4.ip_forward", previous, value: "1" });
}
