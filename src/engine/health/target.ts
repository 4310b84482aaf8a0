/** What `--health-http` and `--health-tcp` ask: a port of the container's own, seen from inside its network. */

import { EngineError } from "../../core/errors.ts";
import { addressBytes, tryParseAddress } from "../../core/ip-address.ts";

export interface TcpTarget {
  /** Tried in their order, 4 or 16 bytes each. */
  addresses: Uint8Array[];
  port: number;
}

export interface HttpTarget extends TcpTarget {
  secure: boolean;
  /** The `Host:` of the request. */
  host: string;
  /** With its query. */
  path: string;
}

const hint = "a probe looks up no names: it goes to localhost, or to an address";

/** `PORT`, `ADDRESS:PORT`, `[ADDRESS]:PORT`. @throws EngineError invalid_argument. */
export function parseTcpTarget(text: string): TcpTarget {
  const [, host = "localhost", port] = /^(?:(\[[^\]]*\]|[^:/]*):)?(\d+)$/.exec(text) ?? [];
  if (port === undefined) throw invalid("TCP", text, "is neither PORT (5432) nor ADDRESS:PORT (127.0.0.1:5432)");
  return { addresses: addressesOf("TCP", text, host), port: checkPort("TCP", text, Number(port)) };
}

/** A URL of http or https, or `PORT/PATH`. @throws EngineError invalid_argument. */
export function parseHttpTarget(text: string): HttpTarget {
  const [isShort, port = "", path = "/"] = /^(\d+)(\/.*)?$/s.exec(text) ?? [];
  const url = parseUrl(isShort === undefined ? text : `http://localhost:${Number(port)}${path}`);
  if (url === undefined) {
    throw invalid("HTTP", text, "is neither a URL (http://127.0.0.1:8080/health) nor PORT/PATH (8080/health)");
  }
  if (url.username !== "" || url.password !== "") throw invalid("HTTP", text, "has credentials in it");
  const secure = url.protocol === "https:";
  const urlPort = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  return {
    addresses: addressesOf("HTTP", text, url.hostname),
    port: checkPort("HTTP", text, urlPort),
    secure,
    host: url.host,
    path: url.pathname + url.search,
  };
}

function parseUrl(text: string): URL | undefined {
  // Others have a host and no port, or neither.
  if (!/^https?:\/\//i.test(text)) return undefined;
  try {
    return new URL(text);
  } catch {
    return undefined; // the caller says what it should be
  }
}

function addressesOf(field: string, text: string, host: string): Uint8Array[] {
  if (host === "localhost") return [Uint8Array.of(127, 0, 0, 1), new Uint8Array(16).fill(1, 15)];
  const address = tryParseAddress(host.replace(/^\[(.*)\]$/, "$1"));
  if (address === undefined) throw invalid(field, text, `has the name ${JSON.stringify(host)} in it`, hint);
  return [addressBytes(address)];
}

function checkPort(field: string, text: string, port: number): number {
  if (port >= 1 && port <= 65_535) return port;
  throw invalid(field, text, "has no port from 1 to 65535");
}

function invalid(field: string, text: string, reason: string, advice?: string): EngineError {
  const message = `${field} in Healthcheck: ${JSON.stringify(text)} ${reason}`;
  return new EngineError("invalid_argument", message, { stage: "create", ...(advice && { hint: advice }) });
}
