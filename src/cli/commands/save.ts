import { saveImages } from "../../client/archives.ts";
import { ArchiveOutput } from "../archive-output.ts";
import { command, someArguments } from "../command.ts";
import { listFlag, stringFlag } from "../flags.ts";
import { platformsJson } from "../platform-flag.ts";

export const saveCommand = command({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  summary: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  aliases: ["image save", "save"],
  flags: {
    output: stringFlag("Write to a file, instead of STDOUT", { short: "o" }),
    platform: listFlag(
      'Save only the given platform(s). Formatted as a comma-separated list of "os[/arch[/variant]]" (e.g., "linux/amd64,linux/arm64/v8")',
    ),
  },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const output = ArchiveOutput.open(flags.output, "failed to save image");
    const platforms = platformsJson(flags.platform);
    const { address } = await session.client();
    await output.write(await saveImages(address, positionals, platforms));
    return 0;
  },
});
