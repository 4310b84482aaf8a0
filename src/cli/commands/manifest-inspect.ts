import type { RegistryManifest } from "../../api/schema/registry-manifest.ts";
import { EngineError } from "../../core/errors.ts";
import { type ImageIndex, isIndexMediaType } from "../../oci/image.ts";
import { canonicalReference, type Reference } from "../../oci/reference.ts";
import { command } from "../command.ts";
import { boolFlag } from "../flags.ts";
import { goJson } from "../format.ts";
import { ManifestLists } from "../manifest/list-store.ts";
import { registryManifest } from "../manifest/registry.ts";
import {
  entryReference,
  indexDocument,
  listReference,
  type StoredManifest,
  storedManifest,
} from "../manifest/stored-manifest.ts";
import { printLine } from "../output.ts";
import type { Session } from "../session.ts";

interface Flags {
  insecure: boolean;
  verbose: boolean;
}

export const manifestInspectCommand = command({
  usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  summary: "Display an image manifest, or manifest list",
  flags: {
    insecure: boolFlag("Allow communication with an insecure registry"),
    verbose: boolFlag("Output additional info including layers and platform", { short: "v" }),
  },
  arity: { min: 1, max: 2 },
  run: async ({ session, flags, positionals }) => {
    const reference = listReference(positionals.at(-1)!);
    const lists = new ManifestLists(session);
    if (positionals.length === 2) {
      const manifest = lists.get(listReference(positionals[0]!), reference);
      if (manifest) printLine(shownManifest(manifest, flags.verbose));
      else throw new EngineError("not_found", `No such manifest: ${canonicalReference(reference)}`);
      return 0;
    }
    const local = lists.list(reference);
    if (local !== undefined) {
      printLine(flags.verbose ? goJson(local, "\t") : indexDocument(reference, local).text);
      return 0;
    }
    const found = await registryManifest(session, reference, flags.insecure);
    printLine(await shownRemote(session, reference, found, flags));
    return 0;
  },
});

async function shownRemote(
  session: Session,
  reference: Reference,
  found: RegistryManifest,
  { insecure, verbose }: Flags,
): Promise<string> {
  if (!isIndexMediaType(found.Descriptor.mediaType)) {
    return shownManifest(storedManifest(canonicalReference(reference), found), verbose);
  }
  const index = JSON.parse(Buffer.from(found.Raw, "base64").toString()) as ImageIndex;
  if (!verbose) {
    const entries = index.manifests.map((Descriptor) => ({ Ref: canonicalReference(reference), Descriptor }));
    return indexDocument(reference, entries).text;
  }
  const shown: StoredManifest[] = [];
  for (const { digest, platform } of index.manifests) {
    const { registry, repository } = reference;
    const child = await registryManifest(session, { registry, repository, digest }, insecure);
    // What the list says of the platform counts, not what the image says.
    const Descriptor = { ...child.Descriptor, ...(platform && { platform }) };
    shown.push(storedManifest(entryReference(reference, digest), { ...child, Descriptor }));
  }
  return goJson(shown, "\t");
}

function shownManifest(manifest: StoredManifest, verbose: boolean): string {
  if (verbose) return goJson(manifest, "\t");
  return JSON.stringify(JSON.parse(Buffer.from(manifest.Raw, "base64").toString()), null, "\t");
}
