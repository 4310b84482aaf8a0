import { defaultRegistry, parseRepository } from "../oci/reference.ts";
import type { AuthConfig } from "./schema/image.ts";
import type { ApiContext } from "./transport.ts";

/**
 * The credentials of X-Registry-Auth, or else those that X-Registry-Config, which has them of several registries, has for
 * the one of a reference; both are base64url JSON. What cannot be read counts as none: clients send rubbish when they
 * have none, and Docker pulls without credentials then.
 */
export function readRegistryAuth(c: ApiContext, reference?: string): AuthConfig | undefined {
  const own = authConfig(decoded(c.req.header("x-registry-auth")));
  const all = decoded(c.req.header("x-registry-config"));
  if (own !== undefined || all === undefined || reference === undefined) return own;
  const registry = registryOf(reference);
  const [, found] = Object.entries(all).find(([server]) => hostOf(server) === registry) ?? [];
  return authConfig(isObject(found) ? found : undefined);
}

function decoded(header: string | undefined): Record<string, unknown> | undefined {
  if (!header) return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(header, "base64url").toString());
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function authConfig(values: Record<string, unknown> | undefined): AuthConfig | undefined {
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
    const value = values?.[key];
    if (typeof value === "string" && value !== "") auth[key] = value;
  }
  return Object.keys(auth).length === 0 ? undefined : auth;
}

/** docker.io is kept under the address that its index once had. */
function hostOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
  return host === "index.docker.io" ? defaultRegistry : host;
}

function registryOf(reference: string): string | undefined {
  try {
    return parseRepository(reference).registry;
  } catch {
    return undefined; // the route says what is wrong with it
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
