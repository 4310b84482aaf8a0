import { removeCheckpoint } from "../../client/checkpoints.ts";
import { command } from "../command.ts";
import { stringFlag } from "../flags.ts";

export const checkpointRmCommand = command({
  usage: "[OPTIONS] CONTAINER CHECKPOINT",
  summary: "Remove a checkpoint",
  aliases: ["checkpoint rm", "checkpoint remove"],
  flags: { "checkpoint-dir": stringFlag("Use a custom checkpoint storage directory") },
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, positionals: [container = "", name = ""] }) => {
    await removeCheckpoint(await session.client(), container, { name, directory: flags["checkpoint-dir"] });
    return 0;
  },
});
