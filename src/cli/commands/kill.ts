import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { stringFlag } from "../flags.ts";

export const killCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Kill one or more running containers",
  aliases: ["container kill", "kill"],
  flags: { signal: stringFlag("Signal to send to the container", { short: "s" }) },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      await client.killContainer(name, flags.signal || "KILL");
      return undefined;
    });
  },
});
