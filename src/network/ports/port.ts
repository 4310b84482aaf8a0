/** Published ports as users ask for them and as they are. */

export const transports = ["tcp", "udp", "sctp"] as const;
export type Transport = (typeof transports)[number];

/**
 * `nat`: the kernel translates; the host's input rules never see it. `socket`: tsd listens and passes on, so that they
 * do.
 */
export const publishModes = ["nat", "socket"] as const;
export type PublishMode = (typeof publishModes)[number];

export interface PortRequest {
  transport: Transport;
  containerPort: number;
  /** Absent: the daemon's default address, of both families where the container has both. */
  hostAddress?: string;
  /** One of these; absent: any of the range for ephemeral ports. */
  hostPorts?: { first: number; last: number };
  /** Absent: the daemon's. */
  mode?: PublishMode;
}

/** `routed`: no port of the host's at all; who has a route to the container may use the container's own. */
export type PublishedMode = PublishMode | "routed";

export interface PublishedPort {
  transport: Transport;
  containerPort: number;
  /** `0.0.0.0`, `::`, `192.0.2.7` */
  hostAddress: string;
  /** 0 where it is routed. */
  hostPort: number;
  mode: PublishedMode;
}
