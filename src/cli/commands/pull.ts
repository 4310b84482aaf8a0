import { EngineError } from "../../core/errors.ts";
import { command, oneArgument } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { printLine } from "../output.ts";
import { ProgressDisplay, progressOn } from "../progress.ts";
import { pullImage, splitReference } from "../pull-image.ts";

export const pullCommand = command({
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  summary: "Download an image from a registry",
  aliases: ["image pull", "pull"],
  flags: {
    "all-tags": boolFlag("Download all tagged images in the repository", { short: "a", hidden: true }),
    platform: stringFlag("Set platform if server is multi-platform capable"),
    quiet: boolFlag("Suppress verbose output", { short: "q" }),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    if (flags["all-tags"]) throw new EngineError("unsupported", "pull --all-tags is not built in tsd yet");
    const name = positionals[0]!;
    const { image, tag } = splitReference(name);
    if (tag === "latest" && !name.endsWith(":latest") && !flags.quiet) printLine("Using default tag: latest");
    const display = new ProgressDisplay(progressOn(1, flags.quiet));
    await pullImage(await session.client(), name, flags.platform, display);
    printLine(canonicalName(image, tag ?? "latest"));
    return 0;
  },
});

/** The name in full, which docker prints last: `docker.io/library/busybox:latest`. */
function canonicalName(image: string, tag: string): string {
  const separator = tag.includes(":") ? "@" : ":";
  const [first = "", ...rest] = image.split("/");
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const path = hasRegistry ? image : `docker.io/${rest.length === 0 ? "library/" : ""}${image}`;
  return `${path}${separator}${tag}`;
}
