/**
 * A container's network namespace.
 *
 * The daemon makes it and holds it by a descriptor alone, with no bind mount: the container's processes join it by
 * `/proc/<daemon>/fd/<n>` and keep it alive from then on. So it survives the daemon's death as long as the container
 * lives, and not a moment longer: when the last process is gone the kernel takes it down, with its end of the veth and
 * hence the host's, whether a daemon is there or not. A mount would outlive both, would be copied into every mount
 * namespace made meanwhile, and would have to be found and removed after a SIGKILL.
 */
import { writeFileSync } from "node:fs";
import type { Fd } from "../../ffi/fd.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../../ffi/namespace.ts";
import { addAddress } from "../../ffi/netlink/address.ts";
import { findLink, setLink } from "../../ffi/netlink/link.ts";
import { addRoute } from "../../ffi/netlink/route.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { isErrno } from "../core/errors.ts";
import { type Address, addressBytes, broadcastAddress, type Subnet } from "./address.ts";

/** The loopback's index in every namespace. */
const loopback = 1;

export class NetworkNamespace implements Disposable {
  readonly #fd: Fd;

  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  /** A new namespace with nothing in it but a loopback, up. @throws SyscallError, NetlinkError */
  static create(): NetworkNamespace {
    const fd = createNetworkNamespace();
    try {
      using route = inNetworkNamespace(fd, () => new NetlinkSocket(NETLINK_ROUTE));
      route.execute(setLink(loopback, { up: true }, "lo"));
      return new NetworkNamespace(fd);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  get fd(): Fd {
    return this.#fd;
  }

  /** Where another process finds it while this one holds it. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#fd.number}`;
  }

  /**
   * Gives an interface that was moved in its address and the default route, and brings it up.
   * @throws NetlinkError, SyscallError
   */
  configure(options: { interface: string; address: Address; subnet: Subnet; gateway: Address }): void {
    const { address, subnet } = options;
    using route = inNetworkNamespace(this.#fd, () => {
      disableIpv6(options.interface);
      return new NetlinkSocket(NETLINK_ROUTE);
    });
    const link = findLink(route, options.interface);
    if (link === undefined) throw new Error(`interface ${options.interface} is not in its network namespace`);
    route.execute(
      setLink(link.index, { up: true }, options.interface),
      addAddress({
        interfaceIndex: link.index,
        address: addressBytes(address),
        prefixLength: subnet.prefixLength,
        ...(subnet.family === 4 && { broadcast: addressBytes(broadcastAddress(subnet)) }),
      }),
      addRoute({ gateway: addressBytes(options.gateway), interfaceIndex: link.index }),
    );
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/**
 * On a network without IPv6 the interface has none, not even a link-local address, as with Docker. sysctl files show
 * the namespace of the thread that opens them.
 */
function disableIpv6(name: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
  } catch (error) {
    // A kernel without IPv6.
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
