/** Requests that remove what nobody uses. */
import type { Filters } from "../api/schema/filters.ts";
import type { ContainersPruneResponse, ImagesPruneResponse } from "../api/schema/prune.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";

export async function pruneImages({ address }: Client, filters: Filters): Promise<ImagesPruneResponse> {
  const query = { filters: JSON.stringify(filters) };
  return (await request(address, "POST", "/images/prune", { query })).json<ImagesPruneResponse>();
}

export async function pruneContainers({ address }: Client, filters: Filters): Promise<ContainersPruneResponse> {
  const query = { filters: JSON.stringify(filters) };
  return (await request(address, "POST", "/containers/prune", { query })).json<ContainersPruneResponse>();
}

export async function pruneBuildCache(
  { address }: Client,
  { all, keepBytes, filters }: { all: boolean; keepBytes: number; filters: Filters },
): Promise<{ CachesDeleted: string[] | null; SpaceReclaimed: number }> {
  const query = {
    all: all || undefined,
    "keep-storage": keepBytes || undefined,
    filters: JSON.stringify(filters),
  };
  return (await request(address, "POST", "/build/prune", { query })).json();
}
