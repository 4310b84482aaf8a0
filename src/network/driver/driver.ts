/**
 * What a driver is: how a network is made on the host, and how a container's interface comes to it.
 *
 * A driver makes interfaces and nothing else. Names, MAC addresses, IP addresses and routes are chosen elsewhere
 * (networks.ts, sandboxes.ts) and set inside the container's namespace for all drivers alike (namespace.ts). Every
 * method is synchronous: an attachment's part in the kernel is one piece of work, nothing comes in between.
 */
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import type { Address } from "../address.ts";
import type { NetworkNamespace } from "../namespace.ts";
import type { Network } from "../network.ts";

/** A container's interface, as it stands on record before it is made. */
export interface DeviceEndpoint {
  /** 64 hexadecimal digits. */
  endpointId: string;
  /** `eth0`: what it is called in the container's namespace, where no other interface has that name. */
  interface: string;
  /** What the host's end is called: there where `hasHostInterface` says so. */
  hostInterface: string;
  /** Absent where the driver gives none of its own (`ownMac`). */
  mac?: string;
  /** The user's, from `--driver-opt`, `com.docker.network.endpoint.sysctls` and others taken away. */
  options: Record<string, string>;
}

/**
 * A network on the host, in the life of one daemon. It is made with the network's first use after a start of the
 * daemon, and makes nothing by itself: `ensure` does.
 */
export interface NetworkDevice extends Disposable {
  /** The host's interface by name: the bridge, the parent. It need not be there yet. */
  readonly device: string;
  /** Endpoints have an end on the host, which the kernel removes together with the container's namespace. */
  readonly hasHostInterface: boolean;
  /** Endpoints have MAC addresses of their own. False where they share their parent's (ipvlan, macvlan passthru). */
  readonly ownMac: boolean;
  /** The default route leads out of the interface itself, by no gateway (ipvlan l3). */
  readonly routesWithoutGateway: boolean;

  /**
   * Makes sure of what the network needs on the host. Each thing is made when missing and left alone when right, also
   * under live containers. Called before every interface that is made: it costs one or two questions to the kernel when
   * all is right.
   * @returns true when it was made anew: what hung on it does so no more, and is adopted again.
   * @throws EngineError conflict when what is there is somebody else's, not_found for a parent that is not there,
   *   unsupported for what the kernel cannot do; NetlinkError. Nothing half made is left.
   */
  ensure(): boolean;

  /**
   * Makes the interface in the namespace: there, named, with its MAC address, down, without IP address. The host's end,
   * where there is one, is up.
   * @throws EngineError, NetlinkError; nothing is left of it then, as far as `remove` would remove it.
   */
  create(endpoint: DeviceEndpoint, namespace: NetworkNamespace): void;

  /** Whether the interface is there and hangs on the network as it should: of a spare, before it is used. */
  isConnected(endpoint: DeviceEndpoint, namespace: NetworkNamespace): boolean;

  /**
   * Takes over an interface after a restart of the daemon: puts right what somebody did to its place on the network
   * meanwhile (no port of the bridge any more, because the bridge was made anew). `ensure` was called before.
   * @returns false when the interface is gone: the caller makes it again.
   */
  adopt(endpoint: DeviceEndpoint, namespace: NetworkNamespace): boolean;

  /** The endpoint has published ports that the kernel translates, and is to reach them itself. Absent where none can be. */
  reflect?(endpoint: DeviceEndpoint): void;

  /**
   * Whether packets pass already; asked again every millisecond, for a short time, until they do.
   */
  isForwarding(endpoint: DeviceEndpoint): boolean;

  /** Whether anything of the endpoint is still to be seen on the host. Only asked where `hasHostInterface`. */
  isOnHost(endpoint: Pick<DeviceEndpoint, "hostInterface">): boolean;

  /**
   * Removes the interface, wherever it is; one that is not there is no error.
   * @param namespace absent when nobody holds it any more: what was in it is gone with it.
   */
  remove(endpoint: Pick<DeviceEndpoint, "hostInterface" | "interface">, namespace?: NetworkNamespace): void;

  /** Addresses that the host has on the device, and that no container may have. Absent where it has the gateways' alone. */
  hostAddresses?(): Address[];

  /** Takes away what `ensure` made; nothing is connected. What is gone already is no error. */
  tearDown(): void;
}

/** What drivers share. */
export interface DriverContext {
  /** A socket of the host's namespace. It is not the device's to close. */
  route: NetlinkSocket;
  /** The other networks with the same device that have containers, or what is being taken down of them. */
  sharers: (network: Network) => readonly Network[];
  adoptions: AdoptionRecords;
}

/** What tsd has added to a bridge that is not its own. On record before it is done. */
export interface Adoption {
  /** The bridge. */
  device: string;
  addresses: { address: string; prefixLength: number }[];
  /** What stood in files below /proc/sys/net. */
  settings: Record<string, string>;
}

export interface AdoptionRecords {
  adoption(networkId: string): Adoption | undefined;
  recordAdoption(networkId: string, adoption: Adoption | undefined): void;
}
