/** The service that the API's routes to registries call: push, login, and what a registry has. */
import type { AuthConfig } from "../../api/schema/image.ts";
import type { JsonMessage } from "../../api/schema/progress.ts";
import type { AuthResult, DistributionInspect } from "../../api/schema/registry.ts";
import { EngineError } from "../../core/errors.ts";
import { parsePlatform } from "../../image/platform.ts";
import type { PushProgress } from "../../image/push.ts";
import { familiarReference, parseReference, parseRepository } from "../../image/reference.ts";
import type { EngineContext } from "../context.ts";
import { registryCredentials } from "./credentials.ts";
import { reported } from "./progress.ts";

export class RegistryService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** @param reference with a tag or a digest: that image; with neither: all of the repository's. */
  push(
    reference: string,
    options: { platform?: string; auth?: AuthConfig },
    signal: AbortSignal,
  ): AsyncGenerator<JsonMessage, void, void> {
    return reported(async (report) => {
      const target = parseRepository(reference);
      const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
      await this.#context.images.push(target, {
        platform,
        credentials: registryCredentials(options.auth),
        onProgress: (progress) => report(progressMessage(progress)),
        signal,
      });
      const name = familiarReference(target);
      this.#context.events.publish("image", "push", name, { name });
    });
  }

  /** @throws EngineError unauthorized when the registry does not take the credentials, unavailable. */
  async login(auth: AuthConfig, signal: AbortSignal): Promise<AuthResult> {
    const credentials = registryCredentials(auth);
    if (credentials === undefined)
      throw new EngineError("unauthorized", "no credentials: neither a user's name nor a token");
    const { identityToken } = await this.#context.images.login(auth.serveraddress ?? "", credentials, signal);
    return { Status: "Login Succeeded", ...(identityToken !== undefined && { IdentityToken: identityToken }) };
  }

  /** @throws EngineError not_found, unauthorized, unavailable. */
  async distribution(
    reference: string,
    auth: AuthConfig | undefined,
    signal: AbortSignal,
  ): Promise<DistributionInspect> {
    const credentials = registryCredentials(auth);
    const { descriptor, platforms } = await this.#context.images.describeRemote(parseReference(reference), {
      credentials,
      signal,
    });
    return {
      Descriptor: descriptor,
      Platforms: platforms.map(({ os, architecture, variant, ...rest }) => ({
        architecture,
        os,
        ...(rest["os.version"] && { "os.version": rest["os.version"] }),
        ...(rest["os.features"] && { "os.features": rest["os.features"] }),
        ...(variant && { variant }),
      })),
    };
  }
}

function progressMessage({ id, status, current, total, aux }: PushProgress): JsonMessage {
  // Docker's layers, and what is for programs, always have the detail; its other lines never.
  if (aux !== undefined) return { progressDetail: {}, aux };
  const detail = { ...(current !== undefined && { current }), ...(total !== undefined && { total }) };
  return { ...(status !== undefined && { status }), ...(id !== undefined && { id, progressDetail: detail }) };
}
