import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { intFlag, stringFlag } from "../flags.ts";

export const stopCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Stop one or more running containers",
  aliases: ["container stop", "stop"],
  flags: {
    signal: stringFlag("Signal to send to the container", { short: "s" }),
    timeout: intFlag("Seconds to wait before killing the container", { short: "t" }),
    time: intFlag("Seconds to wait before killing the container", { hidden: true }),
  },
  arity: someArguments,
  run: async ({ session, flags, given, positionals }) => {
    const client = await session.client();
    const timeoutSeconds = given.has("timeout") ? flags.timeout : given.has("time") ? flags.time : undefined;
    // All at once: each may take its whole timeout.
    const stopped = new Map(
      positionals.map((name) => [
        name,
        client.stopContainer(name, {
          ...(flags.signal !== "" && { signal: flags.signal }),
          ...(timeoutSeconds !== undefined && { timeoutSeconds }),
        }),
      ]),
    );
    for (const promise of stopped.values()) promise.catch(() => undefined); // reported in its turn below
    return forEach(positionals, async (name) => {
      await stopped.get(name);
      return undefined;
    });
  },
});
