import type { EventLine } from "../../client/client.ts";
import { command, noArguments } from "../command.ts";
import { parseFilters } from "../filters.ts";
import { listFlag, stringFlag } from "../flags.ts";
import { compileOrSay, wrongTemplate } from "../format.ts";
import { printError, printLine } from "../output.ts";
import { TemplateError } from "../template/error.ts";
import type { Template } from "../template/execute.ts";

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
    const template = flags.format === "" ? undefined : await eventTemplate(flags.format);
    if (typeof template === "number") return template;
    const events = client.events({
      filters: parseFilters(flags.filter),
      ...(flags.since !== "" && { since: apiTime(flags.since, "since") }),
      ...(flags.until !== "" && { until: apiTime(flags.until, "until") }),
    });
    for await (const event of events) {
      printLine(template ? template(event) : eventText(event));
    }
    return 0;
  },
});

/**
 * What makes a line of an event. That the template fits is tried on an empty one: who waits for events is not to learn
 * of a mistake with the first.
 * @returns the status to end with when it does not.
 */
async function eventTemplate(format: string): Promise<((event: EventLine) => string) | number> {
  const { dockerValue } = await import("../docker-types/docker-types.ts");
  const prefix = "Error parsing format: ";
  const template: Template | number = compileOrSay(format === "json" ? "{{json .}}" : format, { prefix });
  if (typeof template === "number") return template;
  try {
    template.execute(dockerValue("*events.Message", {}));
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    printError(prefix + error.bare);
    return wrongTemplate;
  }
  return (event) => template.execute(dockerValue("events.Message", event));
}

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
