import { EngineError } from "../../core/errors.ts";
import { canonicalReference, parseRepository, repositoryName } from "../../oci/reference.ts";
import { command, oneArgument } from "../command.ts";
import { registryAuth } from "../credentials/registry-auth.ts";
import { boolFlag } from "../flags.ts";
import { ManifestLists } from "../manifest/list-store.ts";
import { indexDocument, listReference, type StoredManifest } from "../manifest/stored-manifest.ts";
import { printLine } from "../output.ts";

export const manifestPushCommand = command({
  usage: "[OPTIONS] MANIFEST_LIST",
  summary: "Push a manifest list to a repository",
  flags: {
    insecure: boolFlag("Allow push to an insecure registry"),
    purge: boolFlag("Remove the local manifest list after push", { short: "p" }),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const target = listReference(positionals[0]!);
    const lists = new ManifestLists(session);
    const manifests = lists.existing(target);
    for (const manifest of manifests) checkComplete(manifest);
    const { mediaType, text } = indexDocument(target, manifests);
    const repository = repositoryName(target);
    const foreign = manifests.filter(({ Ref }) => repositoryName(parseRepository(Ref)) !== repository);
    const client = await session.client();
    const body = {
      MediaType: mediaType,
      Raw: Buffer.from(text).toString("base64"),
      Images: foreign.map(({ Ref, Descriptor, Raw }) => {
        return { Repository: repositoryName(parseRepository(Ref)), MediaType: Descriptor.mediaType, Raw };
      }),
    };
    const auth = await registryAuth(session, target.registry);
    const options = { insecure: flags.insecure, auth };
    const pushed = await client.pushRegistryManifest(canonicalReference(target), body, options);
    for (const { Descriptor } of foreign) {
      printLine(`Pushed ref ${repository}@${Descriptor.digest} with digest: ${Descriptor.digest}`);
    }
    printLine(pushed.Digest);
    if (flags.purge) lists.remove(target);
    return 0;
  },
});

function checkComplete({ Ref, Descriptor, Raw }: StoredManifest): void {
  if (!Descriptor.platform?.architecture || !Descriptor.platform.os) {
    const wanted = "must have an OS and Architecture to be pushed to a registry";
    throw new EngineError("invalid_argument", `manifest ${Ref} ${wanted}`, { hint: "say it: manifest annotate" });
  }
  if (!Raw) throw new EngineError("corrupt", `manifest ${Ref} has no payload`, { hint: "create the list anew" });
}
