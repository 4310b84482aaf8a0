/** Whether an interface of tsd's has IPv6. */
import { writeFileSync } from "node:fs";
import { isErrno } from "../core/errors.ts";

/**
 * Where there is IPv6, nobody else's advertisements give the interface addresses and routes, and its link-local
 * address, which is made of its MAC address, is good at once: the kernel would first ask the link for a second whether
 * somebody has it (RFC 4862, 5.4). Without it there is no address of that family at all, not even a link-local one.
 *
 * sysctl files show the namespace of the thread that opens them.
 */
export function configureIpv6(name: string, isOn: boolean): void {
  set(name, isOn ? { accept_dad: "0", accept_ra: "0", disable_ipv6: "0" } : { disable_ipv6: "1" });
}

/**
 * An interface of the host's that is there for others to stand on: no router's advertisements give the host addresses
 * and routes by it. To be called before it is up.
 */
export function ignoreRouters(name: string): void {
  set(name, { accept_ra: "0", autoconf: "0" });
}

function set(name: string, settings: Record<string, string>): void {
  for (const [setting, value] of Object.entries(settings)) {
    try {
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/${setting}`, value);
    } catch (error) {
      // A kernel without IPv6.
      if (!isErrno(error, "ENOENT")) throw error;
      return;
    }
  }
}
