import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { boolFlag } from "../flags.ts";

export const rmiCommand = command({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  summary: "Remove one or more images",
  aliases: ["image rm", "image remove", "rmi"],
  flags: {
    force: boolFlag("Force removal of the image", { short: "f" }),
    "no-prune": boolFlag("Do not delete untagged parents"),
  },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      const removed = await client.removeImage(name, { force: flags.force, noprune: flags["no-prune"] });
      return removed
        .map((item) => ("Untagged" in item ? `Untagged: ${item.Untagged}` : `Deleted: ${item.Deleted}`))
        .join("\n");
    });
  },
});
