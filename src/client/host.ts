import { EngineError } from "../core/errors.ts";

/** Where a daemon listens. */
export interface DaemonAddress {
  /** Path of its Unix socket. */
  socket: string;
}

export const defaultSocket = "/run/tsd/tsd.sock";

/**
 * Finds the daemon: `-H`, else TSD_HOST, else DOCKER_HOST, else the default socket.
 * @throws EngineError unsupported for addresses other than unix://, invalid_argument for what is none.
 */
export function resolveHost(hosts: string[], environment: NodeJS.ProcessEnv = process.env): DaemonAddress {
  if (hosts.length > 1) throw new EngineError("invalid_argument", "specify only one -H");
  const host = hosts[0] ?? (environment.TSD_HOST || environment.DOCKER_HOST || `unix://${defaultSocket}`);
  const scheme = /^([a-z]+):\/\//.exec(host)?.[1];
  if (scheme === "unix") {
    const socket = host.slice("unix://".length);
    if (socket.startsWith("/")) return { socket };
  }
  if (scheme === "tcp" || scheme === "ssh" || scheme === "http" || scheme === "https" || scheme === "npipe") {
    throw new EngineError("unsupported", `daemon address ${host}: ${scheme}:// is not built in tsd yet`, {
      hint: "use unix:///path/of/the/socket",
    });
  }
  throw new EngineError("invalid_argument", `unable to parse daemon address: ${host}`, {
    hint: "use unix:///path/of/the/socket",
  });
}

/** What to tell somebody whose daemon does not answer. */
export function connectionError({ socket }: DaemonAddress, errno: string | undefined, cause: unknown): EngineError {
  if (errno === "EACCES" || errno === "EPERM") {
    return new EngineError(
      "forbidden",
      `permission denied while trying to connect to the tsd daemon at unix://${socket}`,
      {
        path: socket,
        cause,
        hint: "be root, or a member of the group that owns the socket",
      },
    );
  }
  return new EngineError(
    "unavailable",
    `cannot connect to the tsd daemon at unix://${socket}. Is the tsd daemon running?`,
    {
      path: socket,
      cause,
      hint: "start it with `systemctl start tsd`, or as root with `tsd daemon`",
    },
  );
}
