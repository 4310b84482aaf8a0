import type { RegistryManifest } from "../../api/schema/registry-manifest.ts";
import type { Client } from "../../client/client.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { canonicalReference, type Reference } from "../../oci/reference.ts";

/** What a registry has under a name. @throws EngineError not_found in the words of docker's manifest commands. */
export async function registryManifest(
  client: Client,
  reference: Reference,
  insecure: boolean,
): Promise<RegistryManifest> {
  const name = canonicalReference(reference);
  try {
    return await client.registryManifest(name, { insecure });
  } catch (error) {
    if (!isEngineError(error, "not_found")) throw error;
    throw new EngineError("not_found", `no such manifest: ${name}`, { cause: error });
  }
}
