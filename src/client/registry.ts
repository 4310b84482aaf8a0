/** Requests that lead to registries. Apart from Client, so that other commands do not load them. */
import type { AuthConfig, OciPlatform } from "../api/schema/image.ts";
import type { JsonMessage } from "../api/schema/progress.ts";
import type { AuthResult, DistributionInspect } from "../api/schema/registry.ts";
import { type Client, imagePath } from "./client.ts";
import { request } from "./http.ts";
import { jsonLines } from "./json-lines.ts";

/** @throws EngineError unauthorized. */
export async function checkAuth({ address }: Client, body: AuthConfig): Promise<AuthResult> {
  return (await request(address, "POST", "/auth", { body })).json<AuthResult>();
}

export async function* pushImage(
  { address }: Client,
  image: { name: string; tag?: string; platform?: OciPlatform },
  options: { auth?: string; signal?: AbortSignal } = {},
): AsyncGenerator<JsonMessage> {
  const { name, tag, platform } = image;
  const { auth, signal } = options;
  const response = await request(address, "POST", `/images/${imagePath(name)}/push`, {
    query: { tag, platform: platform && JSON.stringify(platform) },
    ...(auth !== undefined && { headers: { "x-registry-auth": auth } }),
    ...(signal && { signal }),
  });
  yield* jsonLines<JsonMessage>(response.chunks());
}

export async function distribution({ address }: Client, name: string, auth?: string): Promise<DistributionInspect> {
  const response = await request(address, "GET", `/distribution/${imagePath(name)}/json`, {
    ...(auth !== undefined && { headers: { "x-registry-auth": auth } }),
  });
  return response.json<DistributionInspect>();
}
