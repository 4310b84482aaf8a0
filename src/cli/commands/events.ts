import type { EventLine } from "../../client/client.ts";
import { formatExactJson } from "../../core/exact-json.ts";
import { command, noArguments } from "../command.ts";
import { parseFilters } from "../filters.ts";
import { listFlag, stringFlag } from "../flags.ts";
import { printLine } from "../output.ts";
import { compileTemplate } from "../template/execute.ts";

export const eventsCommand = command({
  usage: "[OPTIONS]",
  summary: "Get real time events from the server",
  aliases: ["system events", "events"],
  flags: {
    filter: listFlag("Filter output based on conditions provided", { short: "f", valueName: "filter" }),
    format: stringFlag("Format output using a custom template: 'json' or 'TEMPLATE'"),
    since: stringFlag("Show all events created since timestamp"),
    until: stringFlag("Stream events until this timestamp"),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const { apiTime } = await import("../api-time.ts");
    const client = await session.client();
    const template = flags.format === "" || flags.format === "json" ? undefined : compileTemplate(flags.format);
    const events = client.events({
      filters: parseFilters(flags.filter),
      ...(flags.since !== "" && { since: apiTime(flags.since, "since") }),
      ...(flags.until !== "" && { until: apiTime(flags.until, "until") }),
    });
    for await (const event of events) {
      if (template) printLine(template.execute(event));
      else if (flags.format === "json") printLine(formatExactJson(event));
      else printLine(eventText(event));
    }
    return 0;
  },
});

/** `2026-01-02T03:04:05.000000006Z container start 0123… (image=x, name=y)` */
function eventText({ Type, Action, Actor, time, timeNano }: EventLine): string {
  const attributes = Object.entries(Actor.Attributes)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(", ");
  const nanoseconds = String(BigInt(timeNano) % 1_000_000_000n).padStart(9, "0");
  const instant = new Date(time * 1000).toISOString().replace(/\.\d+Z$/, `.${nanoseconds}Z`);
  return `${instant} ${Type} ${Action} ${Actor.ID}${attributes === "" ? "" : ` (${attributes})`}`;
}
