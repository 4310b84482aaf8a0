/** Sends a container's lines to a syslog server: over UDP, TCP, TLS, or a Unix socket. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { EngineError, errorMessage } from "../core/errors.ts";
import { connectToDatagrams } from "./datagram-connection.ts";
import type { SyslogTarget } from "./log-target.ts";
import { type ConnectionEvents, type LogConnection, RemoteLog, type RemoteLogOptions } from "./remote-log.ts";
import { SyslogEncoder } from "./syslog-format.ts";

type Address = NonNullable<SyslogTarget["address"]>;

/** Where a host's own syslog listens. */
const usualPlaces = ["/dev/log", "/var/run/syslog", "/var/run/log"];
const connectMs = 10_000;

/** @throws EngineError when the server cannot be reached: the container does not start, as with docker. */
export async function openSyslog(
  target: SyslogTarget,
  onTrouble: (message: string) => void,
  times: Pick<RemoteLogOptions, "stallMs"> = {},
): Promise<RemoteLog> {
  const encoder = new SyslogEncoder(target, process.pid);
  try {
    return await RemoteLog.open({
      name: `syslog ${target.address === undefined ? "of the host" : shownAddress(target.address)}`,
      encode: (line) => encoder.encode(line),
      connect: (events) => connect(target, events),
      isStream: target.address !== undefined && ["tcp", "tcp+tls", "unix"].includes(target.address.kind),
      ...(target.bufferBytes !== undefined && { bufferBytes: target.bufferBytes }),
      onTrouble,
      ...times,
    });
  } catch (error) {
    const message = `failed to initialize logging driver: ${errorMessage(error)}`;
    throw new EngineError("unavailable", message, { cause: error });
  }
}

function shownAddress(address: Address): string {
  if ("path" in address) return `${address.kind}://${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.kind}://${host}:${address.port}`;
}

async function connect(target: SyslogTarget, events: ConnectionEvents): Promise<LogConnection> {
  const { address } = target;
  if (address === undefined) return connectToHost(events);
  switch (address.kind) {
    case "unixgram":
      return named(address, () => connectToDatagrams(address.path, events));
    case "udp":
      return named(address, () => connectUdp(address, events));
    case "unix":
      return named(address, () => connectStream({ unix: address.path }, events));
    case "tcp":
      return named(address, () => connectStream({ hostname: address.host, port: address.port }, events));
    case "tcp+tls":
      return named(address, () => connectTls(address, target.tls ?? {}, events));
  }
}

/** As Go shows it: `dial tcp 127.0.0.1:514: …`. */
async function named(address: Address, make: () => Promise<LogConnection> | LogConnection): Promise<LogConnection> {
  const place = "path" in address ? address.path : shownAddress(address).replace(/^.*:\/\//, "");
  try {
    return await make();
  } catch (error) {
    throw new Error(`dial ${address.kind} ${place}: ${errorMessage(error)}`, { cause: error });
  }
}

function connectToHost(events: ConnectionEvents): LogConnection {
  for (const path of usualPlaces) {
    if (!existsSync(path) || !statSync(path).isSocket()) continue;
    return connectToDatagrams(path, events);
  }
  throw new Error("Unix syslog delivery error");
}

async function connectUdp(
  { host, port }: { host: string; port: number },
  events: ConnectionEvents,
): Promise<LogConnection> {
  const { lookup } = await import("node:dns/promises");
  const { address } = await lookup(host);
  const socket = await Bun.udpSocket({
    connect: { hostname: address, port },
    socket: {
      drain: () => events.room(),
      // That nobody listened to an earlier message: there will be others.
      error: () => undefined,
    },
  });
  return {
    send: (message) => (socket.send(message) ? message.length : 0),
    close: () => socket.close(),
  };
}

async function connectStream(
  place: { unix: string } | { hostname: string; port: number },
  events: ConnectionEvents,
): Promise<LogConnection> {
  const failed = Promise.withResolvers<never>();
  const timer = setTimeout(() => failed.reject(new Error("i/o timeout")), connectMs);
  const socketEvents: Bun.SocketHandler = {
    data: () => undefined,
    drain: () => events.room(),
    close: () => events.lost(new Error("the server has closed the connection")),
    error: (_socket, error) => events.lost(error),
    connectError: (_socket, error) => failed.reject(error),
  };
  const connecting =
    "unix" in place
      ? Bun.connect({ unix: place.unix, socket: socketEvents })
      : Bun.connect({ ...place, socket: socketEvents });
  connecting.then((late) => failed.promise.catch(() => late.end())).catch(() => undefined);
  try {
    const socket = await Promise.race([connecting, failed.promise]);
    return {
      send(message) {
        const sent = socket.write(message);
        if (sent < 0) throw new Error("the connection is closed");
        return sent;
      },
      close: () => void socket.end(),
    };
  } finally {
    clearTimeout(timer);
    failed.promise.catch(() => undefined);
  }
}

/** By Node's module, which checks the server's name; only who asks for it has it in memory. */
async function connectTls(
  { host, port }: { host: string; port: number },
  { ca, certificate, key, skipVerify }: NonNullable<SyslogTarget["tls"]>,
  events: ConnectionEvents,
): Promise<LogConnection> {
  const tls = await import("node:tls");
  const socket = tls.connect({
    host,
    port,
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    ...(ca !== undefined && { ca: readFileSync(ca) }),
    ...(certificate !== undefined && { cert: readFileSync(certificate) }),
    ...(key !== undefined && { key: readFileSync(key) }),
    rejectUnauthorized: skipVerify !== true,
  });
  const made = Promise.withResolvers<void>();
  const timer = setTimeout(() => made.reject(new Error("i/o timeout")), connectMs);
  socket.on("secureConnect", () => made.resolve());
  socket.on("error", (error) => {
    made.reject(error);
    events.lost(error);
  });
  socket.on("close", () => {
    made.reject(new Error("the server has closed the connection"));
    events.lost(new Error("the server has closed the connection"));
  });
  socket.on("drain", () => events.room());
  socket.resume();
  try {
    await made.promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return {
    send(message) {
      // Node takes all of it: until it has sent what it holds there is no room for more.
      if (socket.writableNeedDrain) return 0;
      socket.write(message);
      return message.length;
    },
    close: () => void socket.end(),
  };
}
