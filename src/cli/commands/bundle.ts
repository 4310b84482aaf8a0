import { resolve } from "node:path";
import { command } from "../command.ts";
import { runAuth } from "../credentials/registry-auth.ts";
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
    const pull = pullPolicy(flags.pull);
    const auth = await runAuth(session, { image, platform: flags.platform, pull });
    const request = {
      image,
      directory: resolve(directory),
      pull,
      ...(flags.platform !== "" && { platform: flags.platform }),
    };
    const messages = client.bundleImage(request, auth === undefined ? {} : { auth });
    for await (const message of messages) display.show(message);
    return 0;
  },
});
