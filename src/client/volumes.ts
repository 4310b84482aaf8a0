/** Requests about volumes. Apart from Client, so that other commands do not load them. */
import type { Filters } from "../api/schema/filters.ts";
import type { VolumesPruneResponse } from "../api/schema/prune.ts";
import type { VolumeCreateRequest, VolumeInspect, VolumeListResponse } from "../api/schema/volume.ts";
import { EngineError } from "../core/errors.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";

export async function createVolume({ address }: Client, body: VolumeCreateRequest): Promise<VolumeInspect> {
  return (await request(address, "POST", "/volumes/create", { body })).json<VolumeInspect>();
}

export async function listVolumes({ address }: Client, filters: Filters): Promise<VolumeListResponse> {
  const query = { filters: JSON.stringify(filters) };
  return (await request(address, "GET", "/volumes", { query })).json<VolumeListResponse>();
}

export async function inspectVolume({ address }: Client, name: string): Promise<VolumeInspect> {
  return (await request(address, "GET", volume(name))).json<VolumeInspect>();
}

export async function removeVolume({ address }: Client, name: string, options: { force: boolean }): Promise<void> {
  await request(address, "DELETE", volume(name), { query: { force: options.force || undefined } });
}

/** @param filters `all` for those with names, too. */
export async function pruneVolumes({ address }: Client, filters: Filters): Promise<VolumesPruneResponse> {
  const query = { filters: JSON.stringify(filters) };
  return (await request(address, "POST", "/volumes/prune", { query })).json<VolumesPruneResponse>();
}

/** @throws EngineError invalid_argument for none: that would be another route. */
function volume(name: string): string {
  if (name.trim() === "") throw new EngineError("invalid_argument", "invalid volume name or ID: value is empty");
  return `/volumes/${encodeURIComponent(name)}`;
}
