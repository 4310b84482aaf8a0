import { removeNetwork } from "../../client/networks.ts";
import { isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { boolFlag } from "../flags.ts";

export const networkRmCommand = command({
  usage: "NETWORK [NETWORK...]",
  summary: "Remove one or more networks",
  aliases: ["network rm", "network remove"],
  flags: { force: boolFlag("Do not error if the network does not exist", { short: "f" }) },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      try {
        await removeNetwork(client, name);
      } catch (error) {
        if (!flags.force || !isEngineError(error, "not_found")) throw error;
        return "";
      }
      return undefined;
    });
  },
});
