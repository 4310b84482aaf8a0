import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";

export const pauseCommand = command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Pause all processes within one or more containers",
  aliases: ["container pause", "pause"],
  flags: {},
  arity: someArguments,
  run: async ({ session, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      await client.pauseContainer(name);
      return undefined;
    });
  },
});
