/** The host as the network finds it: what its addresses and routes occupy, its MTU, whether it forwards. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { AF_INET, AF_INET6, listAddresses } from "../../ffi/netlink/address.ts";
import { listLinks } from "../../ffi/netlink/link.ts";
import { listRoutes, type Route } from "../../ffi/netlink/route.ts";
import type { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { type Subnet, tryParseAddress } from "./address.ts";
import { parseResolvConf, readHostResolvConf } from "./etc-files.ts";
import { type Obstacle, obstaclesOf } from "./obstacles.ts";

const RT_TABLE_MAIN = 254;
/** Learned from a router advertisement. rtnetlink(7), include/uapi/linux/rtnetlink.h. */
const RTPROT_RA = 9;
const ethernetMtu = 1500;

/** What subnets must not collide with; the interface's own addresses and routes do not count. */
export function readObstacles(
  route: NetlinkSocket,
  exceptInterface?: number,
  exceptServersIn: readonly Subnet[] = [],
): Obstacle[] {
  const servers = parseResolvConf(readHostResolvConf()).servers.flatMap((server) => tryParseAddress(server) ?? []);
  const host = { links: listLinks(route), addresses: listAddresses(route), routes: listRoutes(route, 0), servers };
  return obstaclesOf(host, exceptInterface, exceptServersIn);
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

const sysctlRoot = "/proc/sys/net";

/** Gets the value that a setting had, before it is changed. */
export type Remember = (setting: string, previous: string) => void;

/** Why the host has no IPv6; undefined where it has it. Documentation/networking/ipv6.rst, ip-sysctl.rst. */
export function absenceOfIpv6(root = sysctlRoot): string | undefined {
  // Neither is there in a kernel that was built without IPv6 or started with ipv6.disable=1.
  if (!existsSync(`${root}/ipv6/conf/all`)) return "the kernel was built without it or started with ipv6.disable=1";
  const isOff = readFileSync(`${root}/ipv6/conf/all/disable_ipv6`, "utf8").trim() === "1";
  return isOff ? "net.ipv6.conf.all.disable_ipv6 is 1" : undefined;
}

/**
 * Lets the host forward IPv4, if it does not. It is never switched off again: others may have come to rely on it.
 * @throws EngineError unsupported when it cannot be switched on.
 */
export function enableForwarding(remember: Remember): void {
  change({ setting: "net.ipv4.ip_forward", path: "ipv4/ip_forward", value: "1", remember });
}

/**
 * Lets the host forward IPv6, if it does not.
 *
 * A host that forwards is a router, and the kernel takes no router advertisements from then on (RFC 4861, 6.2.7, and
 * accept_ra in Documentation/networking/ip-sysctl.rst): it would lose the routes and addresses that it learns from
 * them when they expire, and be off the network half an hour later. So interfaces that listen to routers now (1) are
 * told before to go on doing so (2). Those are the hardware's, and what has learned a route; not every interface: a
 * container may not become the host's router.
 * @throws EngineError unsupported when it cannot be switched on; interfaces listen to routers as before then.
 */
export function enableIpv6Forwarding(route: NetlinkSocket, remember: Remember): void {
  if (read("ipv6/conf/all/forwarding") !== "0") return;
  const learned = new Set(
    listRoutes(route, AF_INET6).flatMap((each) => (each.protocol === RTPROT_RA ? [each.interfaceIndex] : [])),
  );
  for (const { name, index, kind } of listLinks(route)) {
    if (name === "lo" || (kind !== undefined && !learned.has(index))) continue;
    const path = `ipv6/conf/${name}/accept_ra`;
    if (!existsSync(`${sysctlRoot}/${path}`) || read(path) !== "1") continue;
    // sysctl(8): a dot in an interface's name is written as a slash.
    const setting = `net.ipv6.conf.${name.replaceAll(".", "/")}.accept_ra`;
    change({ setting, path, value: "2", remember });
  }
  change({ setting: "net.ipv6.conf.all.forwarding", path: "ipv6/conf/all/forwarding", value: "1", remember });
}

function read(path: string): string {
  return readFileSync(`${sysctlRoot}/${path}`, "utf8").trim();
}

function change(options: { setting: string; path: string; value: string; remember: Remember }): void {
  const { setting, path, value } = options;
  const previous = read(path);
  if (previous === value) return;
  options.remember(setting, previous);
  try {
    writeFileSync(`${sysctlRoot}/${path}`, value);
  } catch (error) {
    throw new EngineError("unsupported", `cannot set ${setting} to ${value} on the host: ${errorMessage(error)}`, {
      hint: `sysctl -w ${setting}=${value}`,
      cause: error,
    });
  }
  log("info", "a setting of the host was changed", { setting, previous, value });
}
