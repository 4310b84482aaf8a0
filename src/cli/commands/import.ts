import { importImage } from "../../client/archives.ts";
import { descriptorStream, fileStream } from "../archive-input.ts";
import { command } from "../command.ts";
import { listFlag, platformFlagOf, stringFlag } from "../flags.ts";
import { ProgressDisplay, progressOn } from "../progress.ts";

export const importCommand = command({
  usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  summary: "Import the contents from a tarball to create a filesystem image",
  aliases: ["image import", "import"],
  flags: {
    change: listFlag("Apply Dockerfile instruction to the created image", { short: "c" }),
    message: stringFlag("Set commit message for imported image", { short: "m" }),
    platform: platformFlagOf(),
  },
  arity: { min: 1, max: 2 },
  run: async ({ session, flags, positionals }) => {
    const [source, reference = ""] = positionals as [string, string?];
    const display = new ProgressDisplay(progressOn(1, false));
    const { address } = await session.client();
    const { change: changes, message, platform } = flags;
    const messages = importImage(address, openSource(source), { reference, message, changes, platform });
    for await (const line of messages) display.show(line);
    return 0;
  },
});

/** A URL is for the daemon to fetch. */
function openSource(source: string): ReadableStream<Uint8Array> | string {
  if (source === "-") return descriptorStream();
  return /^https?:\/\//.test(source) ? source : fileStream(source);
}
