/**
 * The name servers that the host itself asks, always as its resolv.conf has them now.
 *
 * They are asked from the host's own network namespace, where the host reaches them: a stub on its loopback
 * (systemd-resolved, dnsmasq) too, with all that it knows of VPNs and split zones. systemd-resolved's own file need not
 * be watched, because the stub that reads it is what is asked.
 */
import { readFileSync, statSync } from "node:fs";
import { findLink } from "../../../ffi/netlink/link.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { errorMessage, isErrno } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { addressBytes, tryParseAddress } from "../address.ts";
import { parseResolvConf, publicNameServers } from "../etc-files.ts";
import { Upstream } from "./upstream.ts";

/** resolv.conf(5): more are not asked (MAXNS). */
const serversMax = 3;
/** How old an answer about the file may be. */
const lookAgainMs = 500;

export class HostServers {
  readonly #path: string;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #seen: string | undefined;
  #servers: readonly Upstream[] = [];

  constructor(path = "/etc/resolv.conf") {
    this.#path = path;
  }

  /** In the order in which they are asked; public ones where the host has none, as Docker. */
  servers(now: number = performance.now()): readonly Upstream[] {
    if (now - this.#lookedAt < lookAgainMs) return this.#servers;
    this.#lookedAt = now;
    try {
      const seen = identityOf(this.#path);
      if (seen === this.#seen) return this.#servers;
      this.#servers = this.#read(seen === "");
      this.#seen = seen;
    } catch (error) {
      // Being written just now, perhaps: the servers that were known serve until the next look.
      log("warn", `cannot read ${this.#path}: the name servers stay as they were`, { error: errorMessage(error) });
    }
    return this.#servers;
  }

  #read(isAbsent: boolean): Upstream[] {
    const named = isAbsent ? [] : parseResolvConf(readFileSync(this.#path, "utf8")).servers;
    const usable = named.flatMap((server) => hostUpstream(server) ?? []).slice(0, serversMax);
    const servers = usable.length > 0 ? usable : publicNameServers.flatMap((server) => hostUpstream(server) ?? []);
    log("info", "name servers of the host", { servers: servers.map(({ name }) => name).join(" ") });
    return servers;
  }
}

/** What tells one state of a file from another: whether it was written, or another one took its place; "" without one. */
function identityOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "";
    throw error;
  }
}

/** `10.0.0.53`, `fe80::1%eth0`. @returns undefined for what is no address, or names an interface that is not there. */
function hostUpstream(server: string): Upstream | undefined {
  const [text, zone] = server.split("%");
  const address = tryParseAddress(text!);
  if (address === undefined) return undefined;
  if (zone === undefined) return new Upstream(server, { address: addressBytes(address) });
  using route = new NetlinkSocket(NETLINK_ROUTE);
  const scope = /^\d+$/.test(zone) ? Number(zone) : findLink(route, zone)?.index;
  return scope === undefined ? undefined : new Upstream(server, { address: addressBytes(address), scope });
}
