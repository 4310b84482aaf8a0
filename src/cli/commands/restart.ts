import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { stopFlags, stopOptions } from "../stop-flags.ts";

export const restartCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Restart one or more containers",
  aliases: ["container restart", "restart"],
  flags: stopFlags,
  arity: someArguments,
  run: async ({ session, flags, given, positionals }) => {
    const client = await session.client();
    const options = stopOptions({ values: flags, given });
    return forEach(positionals, async (name) => {
      await client.restartContainer(name, options);
      return undefined;
    });
  },
});
