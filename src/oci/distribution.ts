/** What registries say beside content: errors and tokens (OCI distribution specification 1.1, Docker's token specification). */
import * as v from "valibot";

/** Distribution specification "Error codes". */
export interface RegistryError {
  code: string;
  message: string;
  detail?: unknown;
}

const errorsSchema = v.looseObject({
  errors: v.array(
    v.looseObject({ code: v.string(), message: v.optional(v.string(), ""), detail: v.optional(v.unknown()) }),
  ),
});

/** The errors in a response's body; none when the body is something else, a proxy's HTML page for example. */
export function parseRegistryErrors(body: string): RegistryError[] {
  const result = v.safeParse(errorsSchema, tryJson(body));
  return result.success ? result.output.errors : [];
}

/** What a token server answers. `expiresInSeconds` has the specification's default and floor of 60. */
export interface RegistryToken {
  token: string;
  expiresInSeconds: number;
  /** To get further tokens with, in place of name and password. */
  refreshToken: string | undefined;
}

const tokenSchema = v.looseObject({
  token: v.optional(v.string()),
  access_token: v.optional(v.string()),
  expires_in: v.optional(v.number()),
  refresh_token: v.optional(v.string()),
});

/** @returns undefined when the body holds no token. */
export function parseToken(body: string): RegistryToken | undefined {
  const result = v.safeParse(tokenSchema, tryJson(body));
  const token = result.success ? result.output.token || result.output.access_token : undefined;
  // What could not stand in a header is no token: RFC 6750, 2.1 allows less still.
  if (!result.success || !token || !/^[\x21-\x7e]+$/.test(token)) return undefined;
  const { expires_in: lifeSeconds = 60, refresh_token: refreshToken } = result.output;
  return { token, expiresInSeconds: Math.max(60, lifeSeconds), refreshToken: refreshToken || undefined };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
