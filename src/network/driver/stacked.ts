/**
 * The drivers macvlan and ipvlan: a container's interface stands on one of the host's, the parent, and is on its link
 * as if it were a machine of its own. It is made in the container's namespace: nothing of it is on the host.
 */
import { findLink, setLink } from "../../../ffi/netlink/link.ts";
import type { Message } from "../../../ffi/netlink/message.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { createIpvlan, createMacvlan, type StackedLink } from "../../../ffi/netlink/stacked-link.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import type { NetworkNamespace } from "../namespace.ts";
import type { Network } from "../network.ts";
import type { DeviceEndpoint, DriverContext, NetworkDevice } from "./driver.ts";
import { mtuOf } from "./options.ts";
import { Parent } from "./parent.ts";
import { dummyName, parentName, routesByDevice, type StackedOptions, stackedOptions } from "./parent-options.ts";

export class StackedDevice implements NetworkDevice {
  readonly device: string;
  readonly hasHostInterface = false;
  readonly ownMac: boolean;
  readonly routesWithoutGateway: boolean;
  readonly #network: Network;
  readonly #options: StackedOptions;
  readonly #mtu: number | undefined;
  readonly #parent: Parent;
  readonly #route: NetlinkSocket;

  constructor(driver: StackedOptions["driver"], network: Network, { route, sharers }: DriverContext) {
    this.#network = network;
    this.#options = stackedOptions(driver, network);
    this.#mtu = mtuOf(network);
    this.#route = route;
    this.device = parentName(driver, network.id, network);
    // An interface that all is passed through to has its parent's address.
    this.ownMac = this.#options.driver === "macvlan" && this.#options.mode !== "passthru";
    this.routesWithoutGateway = routesByDevice(this.#options);
    this.#parent = new Parent({
      network,
      name: this.device,
      isDummy: this.device === dummyName(driver, network.id),
      route,
      sharers: () => sharers(network),
    });
  }

  ensure(): boolean {
    return this.#parent.ensure();
  }

  /**
   * Under a name of its own at first: Linux 6.1 looks for the name in the namespace that the request comes from, where
   * there is an eth0 already, although the interface comes to the other one.
   */
  create(endpoint: DeviceEndpoint, namespace: NetworkNamespace): void {
    const link: StackedLink = {
      name: endpoint.hostInterface,
      parent: this.#parent.index,
      namespaceFd: namespace.fd.number,
      ...(this.#mtu !== undefined && { mtu: this.#mtu }),
    };
    try {
      this.#route.execute(this.#message(link, endpoint.mac));
    } catch (error) {
      throw this.#explain(error);
    }
    try {
      using route = namespace.socket();
      const { index } = findLink(route, link.name)!;
      route.execute(setLink(index, { name: endpoint.interface }, endpoint.interface));
    } catch (error) {
      namespace.remove(link.name);
      throw error;
    }
  }

  #message(link: StackedLink, mac: string | undefined): Message {
    if (this.#options.driver === "ipvlan") return createIpvlan({ ...link, ...this.#options });
    return createMacvlan({ ...link, mode: this.#options.mode, ...(mac !== undefined && { address: mac }) });
  }

  #explain(error: unknown): unknown {
    const { driver, mode } = this.#options;
    const what = `network ${this.#network.name}: failed to create the ${driver} port`;
    if (isErrno(error, "EOPNOTSUPP")) {
      return new EngineError("unsupported", `${what}: this kernel has no ${driver}`, { cause: error });
    }
    if (isErrno(error, "EBUSY")) {
      const text = `${what}: parent interface ${this.device} carries something else: a bridge, a bond, ${driver === "macvlan" ? "ipvlan" : "macvlan"}`;
      return new EngineError("conflict", text, { cause: error });
    }
    if (driver === "macvlan" && isErrno(error, "EINVAL")) {
      const reason = mode === "passthru" ? "other macvlan interfaces" : "a macvlan interface in mode passthru";
      const text = `${what}: parent interface ${this.device} has ${reason} already`;
      return new EngineError("conflict", text, { cause: error });
    }
    return error;
  }

  isConnected(endpoint: DeviceEndpoint, namespace: NetworkNamespace): boolean {
    using route = namespace.socket();
    return findLink(route, endpoint.interface)?.kind === this.#options.driver;
  }

  /** What stands on a parent goes with it, and nothing else can be done to it from here. */
  adopt(endpoint: DeviceEndpoint, namespace: NetworkNamespace): boolean {
    if (this.isConnected(endpoint, namespace)) return true;
    // As it is called when a daemon was killed before it gave the interface its name.
    namespace.remove(endpoint.hostInterface);
    return false;
  }

  isForwarding(): boolean {
    return true;
  }

  isOnHost(): boolean {
    return false;
  }

  remove({ interface: name }: Pick<DeviceEndpoint, "interface">, namespace?: NetworkNamespace): void {
    namespace?.remove(name);
  }

  tearDown(): void {
    this.#parent.tearDown();
  }

  [Symbol.dispose](): void {
    // The socket is the caller's, and the kernel keeps the rest.
  }
}
