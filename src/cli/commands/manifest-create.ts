import { EngineError, errorMessage } from "../../core/errors.ts";
import { canonicalReference } from "../../oci/reference.ts";
import { command } from "../command.ts";
import { boolFlag } from "../flags.ts";
import { ManifestLists } from "../manifest/list-store.ts";
import { registryManifest } from "../manifest/registry.ts";
import { listReference, storedManifest } from "../manifest/stored-manifest.ts";
import { printLine } from "../output.ts";

export const manifestCreateCommand = command({
  usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
  summary: "Create a local manifest list for annotating and pushing to a registry",
  flags: {
    amend: boolFlag("Amend an existing manifest list", { short: "a" }),
    insecure: boolFlag("Allow communication with an insecure registry"),
  },
  arity: { min: 2, max: Number.POSITIVE_INFINITY },
  run: async ({ session, flags, positionals }) => {
    const [name = "", ...images] = positionals;
    const target = parsedList(name);
    const lists = new ManifestLists(session);
    if (!flags.amend && lists.list(target) !== undefined) {
      throw new EngineError("conflict", "refusing to amend an existing manifest list with no --amend flag");
    }
    const references = images.map(listReference);
    // All of them, before the first is written: a list with half of what was asked for helps nobody.
    const found: [number, ReturnType<typeof storedManifest>][] = [];
    for (const [index, image] of references.entries()) {
      if (lists.get(target, image)?.Raw) continue;
      const answer = await registryManifest(session, image, flags.insecure);
      found.push([index, storedManifest(canonicalReference(image), answer)]);
    }
    for (const [index, manifest] of found) lists.save(target, references[index]!, manifest);
    printLine(`Created manifest list ${canonicalReference(target)}`);
    return 0;
  },
});

function parsedList(name: string) {
  try {
    return listReference(name);
  } catch (error) {
    const reason = errorMessage(error);
    throw new EngineError("invalid_argument", `error parsing name for manifest list ${name}: ${reason}`);
  }
}
