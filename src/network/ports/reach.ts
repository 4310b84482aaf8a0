/** From where a published port can be reached. */
import { contains, type Family, parseAddress, parseSubnet, type Subnet } from "../../core/ip-address.ts";
import type { PublishedPort } from "./port.ts";

export interface Reach {
  /**
   * `this host`: an address that only this host and its containers know. `local networks`: an address that routers of
   * the Internet do not pass on, though somebody may translate another one to it. `routed networks`: whoever has a route
   * to the container.
   */
  from: "loopback" | "this host" | "local networks" | "routed networks" | "everywhere";
  /** The host's input rules (ufw, firewalld) decide who of those gets in. */
  inputRules: boolean;
}

const loopback: Readonly<Record<Family, Subnet>> = { 4: parseSubnet("127.0.0.0/8"), 6: parseSubnet("::1/128") };

/** RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291. */
const local: readonly Subnet[] = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "fc00::/7",
  "fe80::/10",
].map(parseSubnet);

/** @param containerSubnets of the networks that tsd has made. */
export function reachOf(port: PublishedPort, containerSubnets: readonly Subnet[]): Reach {
  const address = parseAddress(port.hostAddress);
  if (port.mode === "routed") return { from: "routed networks", inputRules: false };
  const inputRules = port.mode === "socket";
  if (address.value === 0n) return { from: "everywhere", inputRules };
  if (contains(loopback[address.family], address)) return { from: "loopback", inputRules };
  if (containerSubnets.some((subnet) => contains(subnet, address))) return { from: "this host", inputRules };
  if (local.some((subnet) => contains(subnet, address))) return { from: "local networks", inputRules };
  return { from: "everywhere", inputRules };
}
