import { formatExactJson } from "../../core/exact-json.ts";
import { parseGoDuration } from "../../core/go-duration.ts";
import { containerStats, watchContainer } from "../events.ts";
import { command } from "./command.ts";
import { UsageError } from "./flags.ts";
import { printLine } from "./output.ts";
import { statsView } from "./stats-view.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        "Prints a line of JSON for each event until the container ends: its statistics at every interval, and\n" +
        'an event of the type "oom" when it has run out of memory.',
    },
  ],
  flags: {
    interval: { kind: "text", default: "5s", usage: "set the stats collection interval" },
    stats: { kind: "boolean", usage: "display the container's stats then exit" },
  },
  arguments: { min: 1, max: 1 },
  run({ root }, flags, [id]) {
    const intervalMs = parseGoDuration(flags.interval);
    if (intervalMs === undefined) {
      throw new UsageError(`invalid value ${JSON.stringify(flags.interval)} for flag -interval: parse error`);
    }
    if (intervalMs <= 0) throw new Error("duration interval must be greater than 0");
    const print = (type: string, data?: object): void => {
      printLine(formatExactJson({ type, id, ...(data && { data }) }));
    };
    if (flags.stats) {
      const { version, stats } = containerStats(root, id!);
      print("stats", statsView(stats, version));
      return 0;
    }
    watchContainer(root, id!, (version) => ({
      intervalMs,
      stats: (stats) => print("stats", statsView(stats, version)),
      oom: () => print("oom"),
    }));
    return 0;
  },
});
