/** Requests about the disk. Apart from Client, so that other commands do not load them. */
import type { CollectResponse } from "../api/schema/storage.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";

export async function collectGarbage({ address }: Client, options: { isDryRun: boolean }): Promise<CollectResponse> {
  const query = { "dry-run": options.isDryRun };
  return (await request(address, "POST", "/tsd/gc", { query })).json<CollectResponse>();
}
