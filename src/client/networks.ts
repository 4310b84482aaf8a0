/** Requests about networks. Apart from Client, so that other commands do not load them. */
import type { Filters } from "../api/schema/filters.ts";
import type {
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkCreateResponse,
  NetworkDisconnectRequest,
  NetworkInspect,
  NetworkSummary,
} from "../api/schema/network.ts";
import type { NetworksPruneResponse } from "../api/schema/prune.ts";
import { EngineError } from "../core/errors.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";

export async function createNetwork({ address }: Client, body: NetworkCreateRequest): Promise<NetworkCreateResponse> {
  return (await request(address, "POST", "/networks/create", { body })).json<NetworkCreateResponse>();
}

export async function listNetworks({ address }: Client, filters: Filters): Promise<NetworkSummary[]> {
  const query = { filters: JSON.stringify(filters) };
  return (await request(address, "GET", "/networks", { query })).json<NetworkSummary[]>();
}

/** The number of free addresses of an IPv6 subnet needs all of 64 bits. */
export async function inspectNetwork(
  { address }: Client,
  name: string,
  options: { verbose?: boolean } = {},
): Promise<NetworkInspect> {
  const query = { verbose: options.verbose || undefined };
  return (await request(address, "GET", network(name), { query })).exactJson<NetworkInspect>();
}

export async function connectNetwork({ address }: Client, name: string, body: NetworkConnectRequest): Promise<void> {
  await request(address, "POST", network(name, "connect"), { body });
}

export async function disconnectNetwork(
  { address }: Client,
  name: string,
  body: NetworkDisconnectRequest,
): Promise<void> {
  await request(address, "POST", network(name, "disconnect"), { body });
}

export async function removeNetwork({ address }: Client, name: string): Promise<void> {
  await request(address, "DELETE", network(name));
}

export async function pruneNetworks({ address }: Client, filters: Filters): Promise<NetworksPruneResponse> {
  const query = { filters: JSON.stringify(filters) };
  return (await request(address, "POST", "/networks/prune", { query })).json<NetworksPruneResponse>();
}

/** @throws EngineError invalid_argument for none: that would be another route. */
function network(name: string, action = ""): string {
  if (name.trim() === "") throw new EngineError("invalid_argument", "invalid network name or ID: value is empty");
  return `/networks/${encodeURIComponent(name)}${action === "" ? "" : `/${action}`}`;
}
