/** Requests about checkpoints. Apart from Client, so that other commands do not load them. */
import type { CheckpointCreateRequest, CheckpointSummary } from "../api/schema/checkpoint.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";

function route(container: string, checkpoint?: string): string {
  const path = `/containers/${encodeURIComponent(container)}/checkpoints`;
  return checkpoint === undefined ? path : `${path}/${encodeURIComponent(checkpoint)}`;
}

export async function createCheckpoint(
  { address }: Client,
  container: string,
  body: CheckpointCreateRequest,
): Promise<void> {
  await request(address, "POST", route(container), { body });
}

/** @param directory "" for the container's own. */
export async function listCheckpoints(
  { address }: Client,
  container: string,
  directory: string,
): Promise<CheckpointSummary[]> {
  const query = { dir: directory || undefined };
  return (await request(address, "GET", route(container), { query })).json<CheckpointSummary[]>();
}

export async function removeCheckpoint(
  { address }: Client,
  container: string,
  { name, directory }: { name: string; directory: string },
): Promise<void> {
  const query = { dir: directory || undefined };
  await request(address, "DELETE", route(container, name), { query });
}
