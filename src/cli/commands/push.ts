import type { JsonMessage } from "../../api/schema/progress.ts";
import { pushImage } from "../../client/registry.ts";
import { EngineError } from "../../core/errors.ts";
import { canonicalReference, familiarName, parseRepository, repositoryName } from "../../oci/reference.ts";
import { command, oneArgument } from "../command.ts";
import { imageAuth } from "../credentials/registry-auth.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { printError, printLine } from "../output.ts";
import { platformFlag } from "../platform-flag.ts";
import { ProgressDisplay, progressOn } from "../progress.ts";

export const pushCommand = command({
  usage: "[OPTIONS] NAME[:TAG]",
  summary: "Upload an image to a registry",
  aliases: ["image push", "push"],
  flags: {
    "all-tags": boolFlag("Push all tags of an image to the repository", { short: "a" }),
    "disable-content-trust": boolFlag("Skip image signing", { initial: true, hidden: true }),
    platform: stringFlag(
      "Push a platform-specific manifest as a single-platform image to the registry. Image index won't be pushed, meaning that other manifests, including attestations won't be preserved. 'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    ),
    quiet: boolFlag("Suppress verbose output", { short: "q" }),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const platform = platformFlag(flags.platform);
    const reference = parseRepository(positionals[0]!);
    const { tag, digest } = reference;
    const isName = tag === undefined && digest === undefined;
    if (flags["all-tags"] && !isName) {
      throw new EngineError("invalid_argument", "tag can't be used with --all-tags/-a");
    }
    const isDefault = isName && !flags["all-tags"];
    if (isDefault && !flags.quiet) printLine("Using default tag: latest");
    const target = isDefault ? "latest" : (digest ?? tag);
    const auth = await imageAuth(session, positionals[0]!);
    const display = new ProgressDisplay(progressOn(1, flags.quiet));
    const notes: string[] = [];
    const image = {
      name: familiarName(reference),
      ...(target !== undefined && { tag: target }),
      ...(platform && { platform }),
    };
    for await (const message of pushImage(await session.client(), image, auth === undefined ? {} : { auth })) {
      display.show(message);
      notes.push(...noteOf(message));
    }
    if (flags.quiet) {
      printLine(
        isName && !isDefault
          ? repositoryName(reference)
          : canonicalReference(isDefault ? { ...reference, tag: "latest" } : reference),
      );
    }
    for (const note of notes) printError(`\ni Info → ${note}`);
    return 0;
  },
});

/** Docker 29's: not the index went, because not all of it is here. */
function noteOf({ aux }: JsonMessage): string[] {
  const { manifestPushedInsteadOfIndex, originalIndex, selectedManifest } = (aux ?? {}) as {
    manifestPushedInsteadOfIndex?: boolean;
    originalIndex?: { digest: string };
    selectedManifest?: { digest: string };
  };
  if (manifestPushedInsteadOfIndex !== true) return [];
  return [
    `Not all multiplatform-content is present and only the available single-platform image was pushed\n         ${originalIndex?.digest} -> ${selectedManifest?.digest}`,
  ];
}
