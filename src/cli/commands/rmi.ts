import { type EngineError, isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { boolFlag, listFlag } from "../flags.ts";
import { printFailure, printLine } from "../output.ts";
import { platformFlag } from "../platform-flag.ts";

export const rmiCommand = command({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  summary: "Remove one or more images",
  aliases: ["image rm", "image remove", "rmi"],
  flags: {
    force: boolFlag("Force removal of the image", { short: "f" }),
    "no-prune": boolFlag("Do not delete untagged parents"),
    platform: listFlag(
      'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
      { valueName: "strings" },
    ),
  },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const platforms = flags.platform.flatMap((list) => list.split(",")).flatMap((text) => platformFlag(text) ?? []);
    const client = await session.client();
    const failures: EngineError[] = [];
    let hasFailed = false;
    for (const name of positionals) {
      try {
        const removed = await client.removeImage(name, {
          force: flags.force,
          noprune: flags["no-prune"],
          ...(platforms.length > 0 && { platforms }),
        });
        for (const item of removed) {
          printLine("Untagged" in item ? `Untagged: ${item.Untagged}` : `Deleted: ${item.Deleted}`);
        }
      } catch (error) {
        if (!isEngineError(error)) throw error;
        failures.push(error);
        // What is not there need not be removed by force, and is no failure then.
        hasFailed ||= !flags.force || error.code !== "not_found";
      }
    }
    for (const failure of failures) printFailure(failure);
    return hasFailed ? 1 : 0;
  },
});
