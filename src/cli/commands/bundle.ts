import { resolve } from "node:path";
import { command } from "../command.ts";
import { boolFlag, platformFlagOf, stringFlag } from "../flags.ts";
import { ProgressDisplay, progressOn } from "../progress.ts";
import { pullPolicy } from "./run.ts";

export const bundleCommand = command({
  usage: "[OPTIONS] IMAGE DIRECTORY",
  summary: "Write an image as an OCI bundle: rootfs and config.json, for `tsd runtime run` or runc",
  aliases: ["image bundle", "bundle"],
  flags: {
    platform: platformFlagOf(),
    pull: stringFlag('Pull image before ("always", "missing", "never")', { initial: "missing" }),
    quiet: boolFlag("Suppress the pull output", { short: "q" }),
  },
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, positionals }) => {
    const [image = "", directory = ""] = positionals;
    const display = new ProgressDisplay(progressOn(2, flags.quiet));
    const client = await session.client();
    const messages = client.bundleImage({
      image,
      directory: resolve(directory),
      pull: pullPolicy(flags.pull),
      ...(flags.platform !== "" && { platform: flags.platform }),
    });
    for await (const message of messages) display.show(message);
    return 0;
  },
});
