import { resolve } from "node:path";
import { isTerminal } from "../../../ffi/pty.ts";
import { command } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { writeAll } from "../output.ts";
import { ProgressDisplay } from "../progress.ts";
import { pullPolicy } from "./run.ts";

export const bundleCommand = command({
  usage: "[OPTIONS] IMAGE DIRECTORY",
  summary: "Write an image as an OCI bundle: rootfs and config.json, for `tsd runtime run` or runc",
  aliases: ["image bundle", "bundle"],
  flags: {
    platform: stringFlag("Set platform if server is multi-platform capable"),
    pull: stringFlag('Pull image before ("always", "missing", "never")', { initial: "missing" }),
    quiet: boolFlag("Suppress the pull output", { short: "q" }),
  },
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, positionals }) => {
    const [image = "", directory = ""] = positionals;
    const display = new ProgressDisplay({
      isTerminal: isTerminal(2),
      columns: process.stderr.columns ?? 80,
      write: (text) => (flags.quiet ? undefined : writeAll(2, text)),
    });
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
