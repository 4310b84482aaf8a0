import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { intFlag, stringFlag } from "../flags.ts";

export const restartCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Restart one or more containers",
  aliases: ["container restart", "restart"],
  flags: {
    signal: stringFlag("Signal to send to the container", { short: "s" }),
    timeout: intFlag("Seconds to wait before killing the container", { short: "t" }),
    time: intFlag("Seconds to wait before killing the container", { hidden: true }),
  },
  arity: someArguments,
  run: async ({ session, flags, given, positionals }) => {
    const client = await session.client();
    const timeoutSeconds = given.has("timeout") ? flags.timeout : given.has("time") ? flags.time : undefined;
    return forEach(positionals, async (name) => {
      await client.restartContainer(name, {
        ...(flags.signal !== "" && { signal: flags.signal }),
        ...(timeoutSeconds !== undefined && { timeoutSeconds }),
      });
      return undefined;
    });
  },
});
