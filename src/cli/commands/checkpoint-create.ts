import { createCheckpoint } from "../../client/checkpoints.ts";
import { command } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { printLine } from "../output.ts";

export const checkpointCreateCommand = command({
  usage: "[OPTIONS] CONTAINER CHECKPOINT",
  summary: "Create a checkpoint from a running container",
  flags: {
    "checkpoint-dir": stringFlag("Use a custom checkpoint storage directory"),
    "leave-running": boolFlag("Leave the container running after checkpoint"),
  },
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, positionals: [container = "", name = ""] }) => {
    await createCheckpoint(await session.client(), container, {
      CheckpointID: name,
      CheckpointDir: flags["checkpoint-dir"],
      Exit: !flags["leave-running"],
    });
    printLine(name);
    return 0;
  },
});
