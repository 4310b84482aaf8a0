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

/** A sample each second until the container is removed; or one, which has another before it. */
export async function* containerStats(
  address: DaemonAddress,
  container: string,
  { stream, signal }: { stream: boolean; signal: AbortSignal },
): AsyncGenerator<ContainerStats> {
  const query = { stream: stream ? "1" : "0" };
  const answer = await request(address, "GET", route(container, "stats"), { query, signal });
  yield* jsonLines<ContainerStats>(answer.chunks(), parseExactJson);
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
