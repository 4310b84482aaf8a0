/** The daemon's routes for what containers do at this moment. @throws EngineError for every refusal. */
import type { EventMessage } from "../api/schema/event.ts";
import type { ContainerStats, TopResponse } from "../api/schema/stats.ts";
import { parseExactJson } from "../core/exact-json.ts";
import type { DaemonAddress } from "./host.ts";
import { request } from "./http.ts";
import { jsonLines } from "./json-lines.ts";

const route = (container: string, what: string): string => `/containers/${encodeURIComponent(container)}/${what}`;

/** @param words for ps; none: the daemon's own choice. */
export async function topContainer(
  address: DaemonAddress,
  container: string,
  words: readonly string[],
): Promise<TopResponse> {
  const query = words.length === 0 ? {} : { ps_args: words.join(" ") };
  return (await request(address, "GET", route(container, "top"), { query })).json();
}

/** A sample each second until the container is removed. */
export async function* containerStats(
  address: DaemonAddress,
  container: string,
  signal: AbortSignal,
): AsyncGenerator<ContainerStats> {
  const answer = await request(address, "GET", route(container, "stats"), { query: { stream: "1" }, signal });
  yield* jsonLines<ContainerStats>(answer.chunks(), parseExactJson);
}

/** One sample: of now, or of a second later, with the one before. */
export async function containerSample(
  address: DaemonAddress,
  container: string,
  { oneShot, signal }: { oneShot: boolean; signal: AbortSignal },
): Promise<ContainerStats> {
  const query = { stream: "0", ...(oneShot && { "one-shot": "1" }) };
  return (await request(address, "GET", route(container, "stats"), { query, signal })).exactJson();
}

/** What happens to containers from now on: when this resolves, nothing that follows is missed. */
export async function containerEvents(
  address: DaemonAddress,
  signal: AbortSignal,
): Promise<AsyncIterable<Pick<EventMessage, "Action" | "Actor">>> {
  const query = { filters: JSON.stringify({ type: ["container"] }) };
  const answer = await request(address, "GET", "/events", { query, signal });
  return jsonLines(answer.chunks());
}
