import { inspectVolume } from "../../client/volumes.ts";
import { EngineError } from "../../core/errors.ts";
import { command, oneArgument } from "../command.ts";
import { stringFlag } from "../flags.ts";

/** Docker's answers to it where there is no swarm, whose volumes alone can be changed. */
export const volumeUpdateCommand = command({
  usage: "[OPTIONS] VOLUME",
  summary: "Update a volume (cluster volumes only)",
  flags: { availability: stringFlag('Cluster Volume availability ("active", "pause", "drain")', { hidden: true }) },
  arity: oneArgument,
  run: async ({ session, positionals }) => {
    await inspectVolume(await session.client(), positionals[0]!);
    throw new EngineError("invalid_argument", "can only update cluster volumes", {
      hint: "tsd has no swarm mode: a volume's options are those that it was created with",
    });
  },
});
