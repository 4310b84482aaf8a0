import { commitContainer } from "../../client/archives.ts";
import { command } from "../command.ts";
import { boolFlag, listFlag, stringFlag, UsageError } from "../flags.ts";
import { printLine } from "../output.ts";

export const commitCommand = command({
  usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  summary: "Create a new image from a container's changes",
  aliases: ["container commit", "commit"],
  flags: {
    author: stringFlag('Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', { short: "a" }),
    change: listFlag("Apply Dockerfile instruction to the created image", { short: "c" }),
    message: stringFlag("Commit message", { short: "m" }),
    "no-pause": boolFlag("Disable pausing container during commit"),
    pause: boolFlag("Pause container during commit", { short: "p", initial: true, hidden: true }),
  },
  arity: { min: 1, max: 2 },
  run: async ({ session, flags, given, positionals }) => {
    if (given.has("pause") && given.has("no-pause")) {
      throw new UsageError("conflicting options: --no-pause and --pause cannot be used together", 1);
    }
    const [container, reference = ""] = positionals as [string, string?];
    const { author, message: comment, change: changes } = flags;
    const pause = flags.pause && !flags["no-pause"];
    const { address } = await session.client();
    printLine(await commitContainer(address, container, { reference, comment, author, pause, changes }));
    return 0;
  },
});
