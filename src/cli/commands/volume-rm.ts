import { removeVolume } from "../../client/volumes.ts";
import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { boolFlag } from "../flags.ts";

export const volumeRmCommand = command({
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  summary: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
  aliases: ["volume rm", "volume remove"],
  flags: { force: boolFlag("Force the removal of one or more volumes", { short: "f" }) },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      await removeVolume(client, name, { force: flags.force });
      return undefined;
    });
  },
});
