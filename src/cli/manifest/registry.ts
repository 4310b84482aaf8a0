import type { RegistryManifest } from "../../api/schema/registry-manifest.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { canonicalReference, type Reference } from "../../oci/reference.ts";
import { registryAuth } from "../credentials/registry-auth.ts";
import type { Session } from "../session.ts";

/** What a registry has under a name. @throws EngineError not_found in the words of docker's manifest commands. */
export async function registryManifest(
  session: Session,
  reference: Reference,
  insecure: boolean,
): Promise<RegistryManifest> {
  const name = canonicalReference(reference);
  const auth = await registryAuth(session, reference.registry);
  const client = await session.client();
  try {
    return await client.registryManifest(name, { insecure, auth });
  } catch (error) {
    if (!isEngineError(error, "not_found")) throw error;
    throw new EngineError("not_found", `no such manifest: ${name}`, { cause: error });
  }
}
