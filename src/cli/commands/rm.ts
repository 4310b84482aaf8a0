import { isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { boolFlag } from "../flags.ts";
import { printError } from "../output.ts";

export const rmCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Remove one or more containers",
  aliases: ["container rm", "container remove", "rm"],
  flags: {
    force: boolFlag("Force the removal of a running container (uses SIGKILL)", { short: "f" }),
    link: boolFlag("Remove the specified link", { short: "l" }),
    volumes: boolFlag("Remove anonymous volumes associated with the container", { short: "v" }),
  },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const client = await session.client();
    return forEach(positionals, async (name) => {
      try {
        await client.removeContainer(name.replace(/^\/+/, ""), {
          force: flags.force,
          link: flags.link,
          volumes: flags.volumes,
        });
      } catch (error) {
        // `rm -f` is how scripts make sure that it is gone, as with rm(1).
        if (!flags.force || !isEngineError(error, "not_found")) throw error;
        printError(error.message);
        return "";
      }
      return undefined;
    });
  },
});
