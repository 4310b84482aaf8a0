import type { AuthConfig } from "../../api/schema/image.ts";
import { EngineError } from "../../core/errors.ts";
import type { RegistryCredentials } from "../../image/image.ts";

/**
 * What the image part makes of a client's credentials: name and password, and the tokens that stand for them.
 * @returns undefined where there are none: the registry is asked as by anybody.
 * @throws EngineError invalid_argument for credentials that cannot be used.
 */
export function registryCredentials(auth: AuthConfig | undefined): RegistryCredentials | undefined {
  if (auth === undefined) return undefined;
  const { username = "", password = "", auth: encoded, identitytoken, registrytoken } = auth;
  const tokens = {
    ...(identitytoken && { identityToken: identitytoken }),
    ...(registrytoken && { registryToken: registrytoken }),
  };
  if (username !== "" || password !== "" || !encoded) {
    const isNone = username === "" && password === "" && Object.keys(tokens).length === 0;
    return isNone ? undefined : { username, password, ...tokens };
  }
  const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString()) ?? [];
  if (user === undefined || secret === undefined) {
    throw new EngineError("invalid_argument", "registry credentials: auth is no base64 of user:password");
  }
  return { username: user, password: secret, ...tokens };
}
