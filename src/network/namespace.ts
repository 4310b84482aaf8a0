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
import { O_RDONLY } from "../../ffi/constants/open.ts";
import type { Descriptor, Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../../ffi/namespace.ts";
import { addAddress, listAddresses } from "../../ffi/netlink/address.ts";
import { deleteLink, findLink, listLinks, setLink } from "../../ffi/netlink/link.ts";
import type { Message } from "../../ffi/netlink/message.ts";
import { addRoute, deleteRoute, type NewRoute } from "../../ffi/netlink/route.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { createNetworkNamespaceIn } from "../../ffi/plan/namespaces.ts";
import { EngineError, errorMessage, isErrno } from "../core/errors.ts";
import { type Address, addressBytes, broadcastAddress, type Family, subnetOf } from "./address.ts";
import { configureIpv6 } from "./interface-ipv6.ts";

/** The loopback's index in every namespace. */
const loopback = 1;

/** What an interface in a container has. */
export interface InterfacePlan {
  interface: string;
  addresses: { address: Address; prefixLength: number }[];
  /** Without it the interface has no address of that family at all, not even a link-local one, as with Docker. */
  hasIpv6: boolean;
  /** By their file below /proc/sys: `net/ipv4/conf/eth0/forwarding`. */
  sysctls?: Record<string, string>;
}

/** Where what is for elsewhere goes. */
export interface DefaultRoute {
  family: Family;
  interface: string;
  /** Absent: out of the interface, whoever answers. */
  gateway?: Address;
}

export class NetworkNamespace implements Disposable {
  readonly #fd: Fd;

  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  /**
   * A new namespace with nothing in it but a loopback, up.
   * @param owner a user namespace whose root may do in it what root may; else it is the host's.
   * @throws SyscallError, NetlinkError
   */
  static create(owner?: Descriptor): NetworkNamespace {
    const fd = owner === undefined ? createNetworkNamespace() : createNetworkNamespaceIn(owner);
    const namespace = new NetworkNamespace(fd);
    try {
      using route = namespace.socket();
      route.execute(setLink(loopback, { up: true }, "lo"));
      return namespace;
    } catch (error) {
      namespace[Symbol.dispose]();
      throw error;
    }
  }

  /** One that somebody else made. @throws SyscallError ENOENT when there is none at the path. */
  static open(path: string): NetworkNamespace {
    return new NetworkNamespace(open(path, O_RDONLY));
  }

  get fd(): Fd {
    return this.#fd;
  }

  /** Where another process finds it while this one holds it. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#fd.number}`;
  }

  /** A socket that sees what is in the namespace; the caller's to close. */
  socket(): NetlinkSocket {
    return inNetworkNamespace(this.#fd, () => new NetlinkSocket(NETLINK_ROUTE));
  }

  /**
   * Gives an interface that was moved in its addresses, brings it up, and adds the routes that lead out of it.
   * @throws NetlinkError, SyscallError, EngineError invalid_argument for a sysctl that the kernel refuses
   */
  configure(plan: InterfacePlan, routes: readonly DefaultRoute[]): void {
    using route = inNetworkNamespace(this.#fd, () => {
      configureIpv6(plan.interface, plan.hasIpv6);
      return new NetlinkSocket(NETLINK_ROUTE);
    });
    const index = indexOf(route, plan.interface);
    const messages: Message[] = [setLink(index, { up: true }, plan.interface)];
    for (const { address, prefixLength } of plan.addresses) {
      messages.push(
        addAddress({
          interfaceIndex: index,
          address: addressBytes(address),
          prefixLength,
          ...(address.family === 4 && { broadcast: addressBytes(broadcastAddress(subnetOf(address, prefixLength))) }),
          ...(address.family === 6 && { skipDetection: true }),
        }),
      );
    }
    // Routes come last: a gateway must be on the link.
    messages.push(...routes.map((each) => addRoute(routeOf(each, index))));
    route.execute(...messages);
    this.#setSysctls(plan.sysctls ?? {});
  }

  #setSysctls(sysctls: Record<string, string>): void {
    if (Object.keys(sysctls).length === 0) return;
    inNetworkNamespace(this.#fd, () => {
      for (const [name, value] of Object.entries(sysctls)) {
        try {
          writeFileSync(`/proc/sys/${name}`, value);
        } catch (error) {
          const text = `sysctl ${name}=${value}: ${errorMessage(error)}`;
          throw new EngineError("invalid_argument", text, { cause: error });
        }
      }
    });
  }

  /** @throws NetlinkError; a route that is to go and is not there is no error: the container may have removed it. */
  replaceDefaultRoutes(remove: readonly DefaultRoute[], add: readonly DefaultRoute[]): void {
    if (remove.length === 0 && add.length === 0) return;
    using route = this.socket();
    for (const each of remove) {
      const link = findLink(route, each.interface);
      if (link === undefined) continue;
      try {
        route.execute(deleteRoute(routeOf(each, link.index)));
      } catch (error) {
        if (!isErrno(error, "ESRCH")) throw error;
      }
    }
    for (const each of add) {
      try {
        route.execute(addRoute(routeOf(each, indexOf(route, each.interface))));
      } catch (error) {
        // The container has one of its own, and may.
        if (!isErrno(error, "EEXIST")) throw error;
      }
    }
  }

  /** Whether an interface is as it came, down and without an address: `configure` was not called. */
  isBlank(name: string): boolean {
    using route = this.socket();
    const link = findLink(route, name);
    if (link === undefined || link.up) return false;
    return !listAddresses(route).some(({ interfaceIndex }) => interfaceIndex === link.index);
  }

  /** The names of all interfaces. */
  interfaces(): string[] {
    using route = this.socket();
    return listLinks(route).map(({ name }) => name);
  }

  /** Removes an interface; one that is not there is no error. It takes the kernel some 20 ms. */
  remove(name: string): void {
    using route = this.socket();
    try {
      route.execute(deleteLink(name));
    } catch (error) {
      if (!isErrno(error, "ENODEV")) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

function indexOf(route: NetlinkSocket, name: string): number {
  const link = findLink(route, name);
  if (link === undefined) throw new Error(`interface ${name} is not in its network namespace`);
  return link.index;
}

function routeOf({ family, gateway }: DefaultRoute, interfaceIndex: number): NewRoute {
  return { family, interfaceIndex, ...(gateway !== undefined && { gateway: addressBytes(gateway) }) };
}
