import { EngineError } from "../../core/errors.ts";
import { canonicalReference, familiarReference, parseRepository, repositoryName } from "../../oci/reference.ts";
import { command, oneArgument } from "../command.ts";
import { boolFlag, platformFlagOf } from "../flags.ts";
import { printLine } from "../output.ts";
import { ProgressDisplay, progressOn } from "../progress.ts";
import { pullImage, pullTags } from "../pull-image.ts";

export const pullCommand = command({
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  summary: "Download an image from a registry",
  aliases: ["image pull", "pull"],
  flags: {
    "all-tags": boolFlag("Download all tagged images in the repository", { short: "a" }),
    "disable-content-trust": boolFlag("Skip image verification", { initial: true, hidden: true }),
    platform: platformFlagOf(),
    quiet: boolFlag("Suppress verbose output", { short: "q" }),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const reference = parseRepository(positionals[0]!);
    const isName = reference.tag === undefined && reference.digest === undefined;
    const display = new ProgressDisplay(progressOn(1, flags.quiet));
    if (flags["all-tags"]) {
      if (!isName) throw new EngineError("invalid_argument", "tag can't be used with --all-tags/-a");
      await pullTags(session, repositoryName(reference), flags.platform, display);
      printLine(repositoryName(reference));
      return 0;
    }
    const full = isName ? { ...reference, tag: "latest" } : reference;
    if (isName && !flags.quiet) printLine("Using default tag: latest");
    await pullImage(session, familiarReference(full), flags.platform, display);
    printLine(canonicalReference(full));
    return 0;
  },
});
