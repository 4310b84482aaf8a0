import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { stopFlags, stopOptions } from "../stop-flags.ts";

export const stopCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Stop one or more running containers",
  aliases: ["container stop", "stop"],
  flags: stopFlags,
  arity: someArguments,
  run: async ({ session, flags, given, positionals }) => {
    const client = await session.client();
    const options = stopOptions({ values: flags, given });
    // All at once: each may take its whole timeout.
    const stopped = new Map(positionals.map((name) => [name, client.stopContainer(name, options)]));
    for (const promise of stopped.values()) promise.catch(() => undefined); // reported in its turn below
    return forEach(positionals, async (name) => {
      await stopped.get(name);
      return undefined;
    });
  },
});
