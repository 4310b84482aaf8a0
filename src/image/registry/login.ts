/** Finds out whether a registry takes a name and a password, and what token it gives for them. */
import { EngineError, isEngineError } from "../../core/errors.ts";
import type { RegistryCredentials } from "../image.ts";
import { defaultRegistry } from "../reference.ts";
import type { AuthorizationRequest } from "./authorization.ts";
import { type RegistryHost, registryHosts } from "./hosts.ts";
import type { RegistryRequests } from "./requests.ts";
import { type RegistryRequest, requestName } from "./transport.ts";

export interface LoginResult {
  /** To be kept in place of the password; undefined where the registry gives none. */
  identityToken: string | undefined;
}

/**
 * The registry's name in what users write for a server: `https://index.docker.io/v1/`, `registry.example:5000`.
 * @throws EngineError invalid_argument.
 */
export function registryOfServer(server: string): string {
  const name = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  if (["", "index.docker.io", "docker.io", "registry-1.docker.io"].includes(name)) return defaultRegistry;
  if (!URL.canParse(`https://${name}`) || /[@?#\s]/.test(name)) {
    throw new EngineError("invalid_argument", `registry server ${JSON.stringify(server)}: no host name`);
  }
  return name;
}

/** @throws EngineError unauthorized, unavailable, cancelled; the last host's reason, as for a pull. */
export async function login(
  requests: RegistryRequests,
  registry: string,
  credentials: RegistryCredentials,
  signal?: AbortSignal,
): Promise<LoginResult> {
  let failure: EngineError | undefined;
  for (const host of registryHosts(registry, requests.options, "pull").filter(({ isMirror }) => !isMirror)) {
    try {
      return await loginAt(requests, host, { host, scopes: [], credentials, signal });
    } catch (error) {
      if (!isEngineError(error, "unavailable")) throw error;
      failure = error;
    }
  }
  throw failure ?? new EngineError("unavailable", `registry ${registry}: no host is configured`);
}

async function loginAt(
  requests: RegistryRequests,
  host: RegistryHost,
  who: AuthorizationRequest,
): Promise<LoginResult> {
  const request: RegistryRequest = {
    url: `${host.apiUrl}/`,
    isInsecure: host.isInsecure,
    authorities: host.authorities,
    client: host.client,
    ownHeaders: host.headers,
    signal: who.signal,
  };
  requests.authorizer.forget(who);
  const first = await requests.send(request);
  await first.discard();
  const challenge = first.status === 401 ? first.headers.get("www-authenticate") : null;
  if (challenge === null) {
    // It lets everybody in.
    if (first.status === 200) return { identityToken: undefined };
    throw refused(request, first.status, first.statusText);
  }
  const { header, identityToken } = await requests.challenged(challenge, request, who, true);
  const second = await requests.send({ ...request, authorization: header });
  await second.discard();
  if (second.status === 200) return { identityToken };
  requests.authorizer.forget(who);
  throw refused(request, second.status, second.statusText);
}

function refused(request: RegistryRequest, status: number, statusText: string): EngineError {
  if (status === 401 || status === 403) {
    return new EngineError(
      "unauthorized",
      `${requestName(request)}: ${status === 401 ? "unauthorized: incorrect username or password" : "denied: access to the registry is denied"}`,
    );
  }
  const reason = status === 404 ? "no registry (API version 2) is there" : "received unexpected HTTP status";
  return new EngineError("unavailable", `${requestName(request)}: ${reason}: ${status} ${statusText}`);
}
