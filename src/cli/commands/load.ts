import { loadImages } from "../../client/archives.ts";
import { openArchive } from "../archive-input.ts";
import { command, noArguments } from "../command.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { platformsJson } from "../platform-flag.ts";
import { ProgressDisplay, progressOn } from "../progress.ts";

export const loadCommand = command({
  usage: "[OPTIONS]",
  summary: "Load an image from a tar archive or STDIN",
  aliases: ["image load", "load"],
  flags: {
    input: stringFlag("Read from tar archive file, instead of STDIN", { short: "i" }),
    platform: listFlag(
      'Load only the given platform(s). Formatted as a comma-separated list of "os[/arch[/variant]]" (e.g., "linux/amd64,linux/arm64/v8").',
    ),
    quiet: boolFlag("Suppress the load output", { short: "q" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const archive = openArchive(flags.input);
    const platforms = platformsJson(flags.platform);
    const display = new ProgressDisplay(progressOn(1, false));
    const { address } = await session.client();
    // docker asks for no progress where it would not be shown.
    const quiet = flags.quiet || !progressOn(1, false).isTerminal;
    for await (const message of loadImages(address, archive, { quiet, platforms })) display.show(message);
    return 0;
  },
});
