import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { printError } from "../output.ts";

export const waitCommand = command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Block until one or more containers stop, then print their exit codes",
  aliases: ["container wait", "wait"],
  flags: {},
  arity: someArguments,
  run: async ({ session, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      const { StatusCode, Error: unknown } = await client.waitContainer(name, "not-running");
      // The number then stands for an end that nobody saw.
      if (unknown) printError(`${name}: ${unknown.Message}`);
      return String(StatusCode);
    });
  },
});
