/** What concerns registries beside pulling, as the routes need it. All methods throw EngineError. */
import type { AuthConfig } from "../schema/image.ts";
import type { JsonMessage } from "../schema/progress.ts";
import type { AuthResult, DistributionInspect } from "../schema/registry.ts";

export interface ImagePushOptions {
  /** `os[/arch[/variant]]`: that manifest of the index alone. */
  platform?: string;
  auth?: AuthConfig;
}

export interface RegistryBackend {
  /**
   * The messages are docker's: `The push refers to repository […]`, of each layer `Preparing`, `Pushing` with
   * progressDetail, `Pushed` and the like, at last `TAG: digest: … size: …` and the same in aux.
   * @param reference without tag and digest it stands for all of the repository's images.
   */
  push(reference: string, options: ImagePushOptions, signal: AbortSignal): AsyncIterable<JsonMessage>;
  login(auth: AuthConfig, signal: AbortSignal): Promise<AuthResult>;
  distribution(reference: string, auth: AuthConfig | undefined, signal: AbortSignal): Promise<DistributionInspect>;
}
