import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";

export const waitCommand = command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Block until one or more containers stop, then print their exit codes",
  aliases: ["container wait", "wait"],
  flags: {},
  arity: someArguments,
  run: async ({ session, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => String((await client.waitContainer(name, "not-running")).StatusCode));
  },
});
