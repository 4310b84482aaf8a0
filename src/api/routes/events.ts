import type { Hono } from "hono";
import type { EventBackend } from "../backend/system.ts";
import { invalid } from "../errors.ts";
import { eventFilters, passes } from "../event-filter.ts";
import { queryFilters, queryInstant } from "../query.ts";
import type { EventMessage } from "../schema/event.ts";
import type { Filters } from "../schema/filters.ts";
import { streamed } from "../streams.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import { eventLine } from "../versions/system.ts";

export function eventRoutes(app: Hono<ApiEnv>, events: EventBackend): void {
  app.get("/events", (c) => {
    const sinceNano = queryInstant(c, "since");
    const untilNano = queryInstant(c, "until");
    if (sinceNano !== undefined && untilNano !== undefined && sinceNano > untilNano) {
      throw invalid(`since (${c.req.query("since")}) is after until (${c.req.query("until")})`);
    }
    const filters = queryFilters(c, eventFilters);
    const stream = events.subscribe(
      { ...(sinceNano !== undefined && { sinceNano }), ...(untilNano !== undefined && { untilNano }) },
      c.req.raw.signal,
    );
    const { type, before } = eventFormat(c);
    return streamed(c, type, eventLines(stream, filters, before, c.get("api")));
  });
}

/** JSON lines, or RFC 7464's sequences, each begun with a record separator. */
function eventFormat(c: ApiContext): { type: string; before: string } {
  const accepted = (c.req.header("accept") ?? "").split(",").map((part) => part.split(";", 1)[0]!.trim());
  for (const type of accepted) {
    if (type === "application/json-seq" && c.get("api") >= 52) return { type, before: "\x1e" };
    if (type === "application/x-ndjson" && c.get("api") >= 52) return { type, before: "" };
    if (type === "application/jsonl" && c.get("api") >= 53) return { type, before: "" };
  }
  return { type: "application/json", before: "" };
}

async function* eventLines(
  events: AsyncIterable<EventMessage>,
  filters: Filters,
  before: string,
  api: number,
): AsyncGenerator<string> {
  for await (const event of events) if (passes(event, filters)) yield `${before}${eventLine(event, api)}\n`;
}
