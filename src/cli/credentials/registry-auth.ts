/** X-Registry-Auth: the user's credentials for a registry, as each request that leads there carries them. */
import { existsSync } from "../../../ffi/fs.ts";
import { join } from "../../../ffi/path.ts";
import type { AuthConfig } from "../../api/schema/image.ts";
import type { Client } from "../../client/client.ts";
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { parseRepository } from "../../oci/reference.ts";
import { printError } from "../output.ts";
import type { Session } from "../session.ts";
import type { Credentials } from "./config-file.ts";
import { CredentialStore, serverOf } from "./store.ts";

type AuthSession = Pick<Session, "configDirectory" | "client">;

/**
 * For the registry of an image; undefined where the user is nobody there.
 * @throws EngineError invalid_argument for a reference that is none; when a helper fails.
 */
export async function imageAuth(session: AuthSession, image: string): Promise<string | undefined> {
  return registryAuth(session, parseRepository(image).registry);
}

export async function registryAuth(session: AuthSession, registry: string): Promise<string | undefined> {
  const store = openStore(session);
  const server = serverOf(registry);
  const credentials = await store?.get(server);
  return credentials && encodeAuth(authConfig(server, credentials));
}

/**
 * The same for `run` and `bundle`, which mostly need none: a helper is asked only when the image has to be pulled.
 * @throws EngineError as above.
 */
export async function runAuth(
  session: AuthSession,
  request: { image: string; platform: string; pull: "missing" | "always" | "never" },
): Promise<string | undefined> {
  if (request.pull === "never") return undefined;
  let registry: string;
  try {
    registry = parseRepository(request.image).registry;
  } catch (error) {
    // An id, or something that the daemon has better words for.
    if (isEngineError(error, "invalid_argument")) return undefined;
    throw error;
  }
  const store = openStore(session);
  const server = serverOf(registry);
  const isAsked = store?.file.helperOf(server) !== undefined && request.pull === "missing";
  if (isAsked && (await isHere(await session.client(), request))) return undefined;
  const credentials = await store?.get(server);
  return credentials && encodeAuth(authConfig(server, credentials));
}

async function isHere(client: Client, { image, platform }: { image: string; platform: string }): Promise<boolean> {
  // Of another platform it would have to be pulled: that is for the daemon to say.
  if (platform !== "") return false;
  try {
    await client.inspectImage(image);
    return true;
  } catch (error) {
    if (isEngineError(error, "not_found")) return false;
    throw error;
  }
}

/** A file that is damaged is said to be so, and does not keep anybody from what needs no password. */
function openStore({ configDirectory }: AuthSession): CredentialStore | undefined {
  if (!existsSync(join(configDirectory, "config.json"))) return undefined;
  try {
    return new CredentialStore(configDirectory);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    printError(`WARNING: Error loading config file: ${errorMessage(error)}`);
    return undefined;
  }
}

export function authConfig(server: string, credentials: Credentials): AuthConfig {
  const { username, password, identityToken, registryToken } = credentials;
  return {
    ...(username !== "" && { username }),
    ...(password !== "" && { password }),
    ...(identityToken !== undefined && { identitytoken: identityToken }),
    ...(registryToken !== undefined && { registrytoken: registryToken }),
    serveraddress: server,
  };
}

export function encodeAuth(auth: AuthConfig): string {
  return Buffer.from(JSON.stringify(auth)).toString("base64url");
}
