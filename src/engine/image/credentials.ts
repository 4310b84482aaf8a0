/** What clients send as X-Registry-Auth, as the image part takes it. */
import type { AuthConfig } from "../../api/schema/image.ts";
import { EngineError } from "../../core/errors.ts";
import type { RegistryCredentials } from "../../image/image.ts";

/** @throws EngineError invalid_argument for credentials that cannot be used. */
export function registryCredentials(auth: AuthConfig): RegistryCredentials | undefined {
  const { username, password, auth: encoded } = auth;
  if (username !== undefined && password !== undefined) return { username, password };
  if (encoded) {
    const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString()) ?? [];
    if (user === undefined || secret === undefined) {
      throw new EngineError("invalid_argument", "registry credentials: auth is no base64 of user:password");
    }
    return { username: user, password: secret };
  }
  if (auth.identitytoken || auth.registrytoken) {
    throw new EngineError("unsupported", "registry credentials: identity tokens are not built in this version of tsd");
  }
  return undefined;
}
