import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { defaultRegistry, parseRepository } from "../oci/reference.ts";
import type { AuthConfig } from "./schema/image.ts";
import { readAuthConfig } from "./schema/registry.ts";
import type { ApiContext } from "./transport.ts";

/**
 * The credentials of X-Registry-Auth, or else those that X-Registry-Config, which has them of several registries, has
 * for the one of a reference; both are base64url JSON, read as Go reads it. What cannot be read counts as none, and is
 * told to the log: clients send rubbish when they have none, and Docker goes on without credentials then.
 */
export function readRegistryAuth(c: ApiContext, reference?: string): AuthConfig | undefined {
  const own = readHeader(c, "x-registry-auth", authConfig);
  if (own !== undefined || reference === undefined) return own;
  const registry = registryOf(reference);
  return readHeader(c, "x-registry-config", (all) => {
    const [, found] = Object.entries(all as object).find(([server]) => hostOf(server) === registry) ?? [];
    return authConfig(found);
  });
}

function readHeader(
  c: ApiContext,
  name: string,
  read: (json: unknown) => AuthConfig | undefined,
): AuthConfig | undefined {
  const header = c.req.header(name);
  if (!header) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(header, "base64url").toString());
  } catch {
    // Its own words would quote what may be half a password.
    return ignored(name, "it is no JSON in base64url");
  }
  try {
    return json === null ? undefined : read(json);
  } catch (error) {
    return ignored(name, errorMessage(error));
  }
}

function ignored(name: string, reason: string): undefined {
  log("warn", "credentials that cannot be read count as none", { header: name, reason });
}

/** Undefined for one in which nothing is said. */
function authConfig(json: unknown): AuthConfig | undefined {
  if (json === undefined || json === null) return undefined;
  const { username, password, auth, email, serveraddress, identitytoken, registrytoken } = readAuthConfig(json);
  const fields = { username, password, auth, email, serveraddress, identitytoken, registrytoken };
  const said = Object.entries(fields).filter(([, value]) => value);
  return said.length === 0 ? undefined : Object.fromEntries(said);
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
