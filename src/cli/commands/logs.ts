import { command, oneArgument } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { writeAll } from "../output.ts";

export const logsCommand = command({
  usage: "[OPTIONS] CONTAINER",
  summary: "Fetch the logs of a container",
  aliases: ["container logs", "logs"],
  flags: {
    details: boolFlag("Show extra details provided to logs"),
    follow: boolFlag("Follow log output", { short: "f" }),
    since: stringFlag(
      'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    ),
    tail: stringFlag("Number of lines to show from the end of the logs", { short: "n", initial: "all" }),
    timestamps: boolFlag("Show timestamps", { short: "t" }),
    until: stringFlag(
      'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    ),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const { apiTime } = await import("../api-time.ts");
    const { FrameOutput } = await import("../attached.ts");
    const client = await session.client();
    const container = await client.inspectContainer(positionals[0]!);
    const stream = await client.logs(container.Id, {
      stdout: true,
      stderr: true,
      follow: flags.follow,
      timestamps: flags.timestamps,
      details: flags.details,
      tail: flags.tail,
      ...(flags.since !== "" && { since: apiTime(flags.since, "since") }),
      ...(flags.until !== "" && { until: apiTime(flags.until, "until") }),
    });
    if (container.Config.Tty) for await (const chunk of stream) writeAll(1, chunk);
    else {
      const reader = new FrameOutput();
      for await (const chunk of stream) reader.push(chunk);
    }
    return 0;
  },
});
