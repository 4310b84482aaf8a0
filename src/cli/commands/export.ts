import { exportContainer } from "../../client/archives.ts";
import { ArchiveOutput } from "../archive-output.ts";
import { command, oneArgument } from "../command.ts";
import { stringFlag } from "../flags.ts";

export const exportCommand = command({
  usage: "[OPTIONS] CONTAINER",
  summary: "Export a container's filesystem as a tar archive",
  aliases: ["container export", "export"],
  flags: { output: stringFlag("Write to a file, instead of STDOUT", { short: "o" }) },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const output = ArchiveOutput.open(flags.output, "failed to export container");
    const { address } = await session.client();
    await output.write(await exportContainer(address, positionals[0]!));
    return 0;
  },
});
