/** A registry for tests of the routes: it holds what was asked for. */
import { EngineError } from "../../core/errors.ts";
import type { ImagePushOptions, RegistryBackend } from "../backend/registry.ts";
import type { AuthConfig } from "../schema/image.ts";
import type { JsonMessage } from "../schema/progress.ts";
import type { AuthResult, DistributionInspect } from "../schema/registry.ts";

export class FakeRegistry implements RegistryBackend {
  readonly #call: (text: string) => void;

  /** @param call told of what the routes ask for. */
  constructor(call: (text: string) => void) {
    this.#call = call;
  }

  async *push(
    reference: string,
    { platform, auth }: ImagePushOptions,
    signal: AbortSignal,
  ): AsyncGenerator<JsonMessage, void, void> {
    this.#call(`push ${reference} ${platform ?? "-"} ${auth?.username ?? "-"}`);
    if (reference.includes("none")) throw new EngineError("not_found", `tag does not exist: ${reference}`);
    yield { status: `The push refers to repository [${reference}]` };
    if (reference.includes("denied")) throw new EngineError("not_found", `push access denied for ${reference}`);
    if (signal.aborted) return;
    yield { status: "latest: digest: sha256:1 size: 2" };
    yield { progressDetail: {}, aux: { Tag: "latest", Digest: "sha256:1", Size: 2 } };
  }

  async login(auth: AuthConfig): Promise<AuthResult> {
    this.#call(`login ${auth.username}@${auth.serveraddress}`);
    if (auth.password !== "secret")
      throw new EngineError("unauthorized", "unauthorized: incorrect username or password");
    return { Status: "Login Succeeded", ...(auth.username === "token" && { IdentityToken: "identity" }) };
  }

  async distribution(reference: string, auth: AuthConfig | undefined): Promise<DistributionInspect> {
    this.#call(`distribution ${reference} ${auth?.username ?? "-"}`);
    return {
      Descriptor: { mediaType: "application/vnd.oci.image.index.v1+json", digest: "sha256:1", size: 5 },
      Platforms: [{ architecture: "amd64", os: "linux" }],
    };
  }
}
