/** What the routes to registries take and answer. */

import { optional, read, struct, text } from "./go-json.ts";
import type { AuthConfig, OciDescriptor, OciPlatform } from "./image.ts";

/** POST /auth. */
export interface AuthResult {
  Status: string;
  /** To be kept in place of the password. */
  IdentityToken?: string;
}

/** GET /distribution/{name}/json. */
export interface DistributionInspect {
  Descriptor: Pick<OciDescriptor, "mediaType" | "digest" | "size">;
  Platforms: OciPlatform[];
}

const authConfig = struct({
  username: optional(text),
  password: optional(text),
  auth: optional(text),
  email: optional(text),
  serveraddress: optional(text),
  identitytoken: optional(text),
  registrytoken: optional(text),
});

/** The body of POST /auth. @throws EngineError invalid_argument that names the field. */
export function readAuthConfig(body: unknown): AuthConfig {
  return read(authConfig, body);
}
