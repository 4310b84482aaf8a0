import type { AuthConfig } from "./schema/image.ts";
import type { ApiContext } from "./transport.ts";

/**
 * The credentials of X-Registry-Auth, base64url JSON. What cannot be read counts as none: clients send rubbish when
 * they have none, and Docker pulls without credentials then.
 */
export function readRegistryAuth(c: ApiContext): AuthConfig | undefined {
  const header = c.req.header("x-registry-auth");
  if (!header) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(header, "base64url").toString());
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const auth: AuthConfig = {};
  for (const key of [
    "username",
    "password",
    "auth",
    "email",
    "serveraddress",
    "identitytoken",
    "registrytoken",
  ] as const) {
    const value = (parsed as Record<string, unknown>)[key];
    if (typeof value === "string" && value !== "") auth[key] = value;
  }
  return Object.keys(auth).length === 0 ? undefined : auth;
}
