import { EngineError } from "../core/errors.ts";

/** Where a daemon listens. */
export type DaemonAddress = UnixAddress | TcpAddress;

export interface UnixAddress {
  /** Path of its Unix socket. */
  socket: string;
}

export interface TcpAddress {
  socket?: undefined;
  /** A name or an address, without brackets. */
  hostname: string;
  port: number;
  /** Not there: plain HTTP. */
  tls?: ClientTls;
}

/** How a daemon is known and shown who asks; the content of PEM files. */
export interface ClientTls {
  /** Who signed the daemon's certificate; not there: the authorities that Bun comes with. */
  ca?: string;
  cert?: string;
  key?: string;
  /** False: whoever answers is taken for the daemon (`--tls` without `--tlsverify`). */
  verify: boolean;
}

export const defaultSocket = "/run/tsd/tsd.sock";
const plainPort = 2375;
const tlsPort = 2376;

/**
 * The address that the command line or the environment gives: `-H`, else TSD_HOST, else DOCKER_HOST, else the default
 * socket, or with TLS a daemon on this host's port 2376.
 * @throws EngineError in docker's words.
 */
export function hostOf(hosts: readonly string[], environment: NodeJS.ProcessEnv, isTls: boolean): string {
  if (hosts.length > 1) throw new EngineError("invalid_argument", "specify only one -H");
  const host = (hosts[0] ?? (environment.TSD_HOST || environment.DOCKER_HOST || "")).trim();
  if (host !== "") return withScheme(host);
  return isTls ? `tcp://localhost:${tlsPort}` : `unix://${defaultSocket}`;
}

/** docker takes `10.0.0.1:2375` and `somewhere` for addresses of TCP. */
function withScheme(host: string): string {
  if (host.includes("://") || host.startsWith("/") || /^(unix|tcp|ssh|fd|npipe|https?):/.test(host)) return host;
  return `tcp://${host}`;
}

/**
 * @param host `unix://PATH` or `tcp://HOST[:PORT]`.
 * @throws EngineError unsupported for addresses of other kinds, invalid_argument for what is none.
 */
export function parseHost(host: string, tls?: ClientTls): DaemonAddress {
  const [, scheme, rest = ""] = /^([a-z]+):\/\/(.*)$/s.exec(host) ?? [];
  if (scheme === "unix") {
    const socket = rest === "" ? defaultSocket : rest;
    if (socket.startsWith("/")) return { socket };
  }
  if (scheme === "tcp") return { ...tcpAddress(host, rest, tls !== undefined), ...(tls && { tls }) };
  if (scheme === "ssh") {
    throw new EngineError("unsupported", `daemon address ${host}: tsd does not start ssh`, {
      hint: `forward the socket, as with \`ssh -nNT -L /tmp/tsd.sock:${defaultSocket} ${rest}\`, and use -H unix:///tmp/tsd.sock`,
    });
  }
  throw new EngineError("invalid_argument", `unable to parse docker host \`${host}\``, {
    hint: host.startsWith("/") ? `use unix://${host}` : "use unix:///path/of/the/socket or tcp://host:port",
  });
}

function tcpAddress(host: string, authority: string, isTls: boolean): { hostname: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:/?#@[\]]*))(?::(\d+))?\/?$/.exec(authority) ?? [];
  const hostname = bracketed ?? plain;
  const port = digits === undefined ? (isTls ? tlsPort : plainPort) : Number(digits);
  if (hostname === undefined || port < 1 || port > 65535) {
    throw new EngineError("invalid_argument", `unable to parse docker host \`${host}\``, {
      hint: "use tcp://host:port",
    });
  }
  return { hostname: hostname || "localhost", port };
}

/** As people write it, and messages name it. */
export function addressText(address: DaemonAddress): string {
  return address.socket === undefined ? `tcp://${authorityOf(address)}` : `unix://${address.socket}`;
}

/** Of a URL. */
export function authorityOf({ hostname, port }: TcpAddress): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

/**
 * What to tell somebody whose daemon does not answer.
 * @param errno the kernel's word, or that of TLS.
 */
export function connectionError(address: DaemonAddress, errno: string | undefined, cause: unknown): EngineError {
  if (address.socket === undefined) return tcpError(address, errno, cause);
  const { socket } = address;
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

/** What a certificate was refused for, by the names that OpenSSL and Node give it. */
const untrusted = new Set([
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

function tcpError(address: TcpAddress, errno: string | undefined, cause: unknown): EngineError {
  const where = addressText(address);
  const failed = (reason: string, hint: string) =>
    new EngineError("unavailable", `error during connect: ${where}: ${reason}`, { cause, hint });
  if (errno === "ENOTFOUND") {
    return failed(`no such host: ${address.hostname}`, "see -H, DOCKER_HOST, or `context inspect`");
  }
  if (errno !== undefined && untrusted.has(errno)) {
    return failed(
      "the daemon's certificate is signed by an unknown authority",
      "name the authority's file with --tlscacert, or in the context with ca=FILE",
    );
  }
  if (errno === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return failed(`the daemon's certificate is not for ${address.hostname}`, "use a name that the certificate has");
  }
  if (errno === "CERT_HAS_EXPIRED") return failed("the daemon's certificate has expired", "have it renewed");
  if (errno === "EPROTO") {
    return failed(
      "the TLS handshake failed",
      "the daemon may want a certificate (--tlscert, --tlskey), or speak no TLS on this port",
    );
  }
  if (errno === "ECONNRESET" && address.tls === undefined) {
    return failed("the connection was reset", "if the daemon speaks TLS, use --tlsverify");
  }
  return new EngineError("unavailable", `cannot connect to the tsd daemon at ${where}. Is the tsd daemon running?`, {
    cause,
    hint: "see that the address (-H, DOCKER_HOST, the context) is right and a daemon listens there",
    ...(errno !== undefined && { errno }),
  });
}
