/**
 * What the daemon asks of `tsd proxy`: sockets of the host to hold, each under a name that nothing else has. A request
 * that comes twice does no more than one.
 */
import type { Transport } from "../port.ts";

/** Raise it with every change of what is below. */
export const proxyProtocol = 2;

export interface Endpoint {
  /** `0.0.0.0`, `::1` */
  address: string;
  port: number;
}

/**
 * A socket of the host. Without a target it is bound and no more, so that no other program takes the port; with one it
 * listens, and what comes is passed on.
 */
export interface HostSocket extends Endpoint {
  transport: Transport;
  target?: Endpoint;
  /** Absent: the target sees this host as the client, whoever that is. */
  shownClients?: ShownClients;
}

/**
 * The target sees its clients by their own addresses: whatever it answers comes back by this host, but for what is for
 * the subnets that it is in itself.
 */
export interface ShownClients {
  /** `172.28.0.0/16`: clients there are not shown. */
  except: string[];
}

/** `tcp 0.0.0.0 8080`: what a socket is dropped by. */
export function socketName({ transport, address, port }: HostSocket): string {
  return `${transport} ${address} ${port}`;
}

/** Sockets that are held all, or none of them. */
export type SocketGroup = HostSocket[];

export interface Refusal {
  /** Which group, by its place in the request. */
  group: number;
  socket: HostSocket;
  /** EADDRINUSE, EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, EMFILE … */
  errno: string;
  message: string;
}

export interface ProxyRequests {
  /** Holds groups of sockets; what is held already stays as it is. */
  hold: { parameters: { groups: SocketGroup[] }; result: { refused: Refusal[] } };
  /** Lets go of sockets and of the connections that came by them, by their names. */
  drop: { parameters: { names: string[] }; result: object };
  /** As `hold`, and lets go of all others. */
  replace: { parameters: { groups: SocketGroup[] }; result: { refused: Refusal[] } };
  status: { parameters: object; result: ProxyStatus };
}

export interface ProxyStatus {
  sockets: number;
  /** And clients of UDP that are remembered. */
  connections: number;
}

export type ProxyRequestName = keyof ProxyRequests;
