import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";

export const unpauseCommand = command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Unpause all processes within one or more containers",
  aliases: ["container unpause", "unpause"],
  flags: {},
  arity: someArguments,
  run: async ({ session, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      await client.unpauseContainer(name);
      return undefined;
    });
  },
});
