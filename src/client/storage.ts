/** Requests about the disk. Apart from Client, so that other commands do not load them. */
import type { DiskUsageResponse, RootUsage } from "../api/schema/disk-usage.ts";
import type { CollectResponse, FsckMessage } from "../api/schema/storage.ts";
import type { Client } from "./client.ts";
import { request } from "./http.ts";
import { jsonLines } from "./json-lines.ts";

export async function collectGarbage({ address }: Client, options: { isDryRun: boolean }): Promise<CollectResponse> {
  const query = { "dry-run": options.isDryRun };
  return (await request(address, "POST", "/tsd/gc", { query })).json<CollectResponse>();
}

export async function* fsck({ address }: Client, options: { repair: boolean }): AsyncGenerator<FsckMessage> {
  const response = await request(address, "POST", "/tsd/fsck", { query: { repair: options.repair } });
  yield* jsonLines<FsckMessage>(response.chunks());
}

export async function diskUsage({ address }: Client, options: { verbose: boolean }): Promise<DiskUsageResponse> {
  return (await request(address, "GET", "/system/df", { query: options })).json<DiskUsageResponse>();
}

export async function rootUsage({ address }: Client): Promise<RootUsage> {
  return (await request(address, "GET", "/tsd/df")).json<RootUsage>();
}
