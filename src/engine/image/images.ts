/** The service that the API's image routes call: the image part in the Engine API's words, with events and users. */
import type {
  AttestationStatement,
  AuthConfig,
  ImageDeleteItem,
  ImageHistoryItem,
  ImageInspect,
  ImageSearchItem,
  ImageSummary,
} from "../../api/schema/image.ts";
import type { JsonMessage } from "../../api/schema/progress.ts";
import { advice } from "../../core/advice.ts";
import { EngineError } from "../../core/errors.ts";
import type { Image, ImageUser, PullProgress } from "../../image/image.ts";
import { parsePlatform } from "../../image/platform.ts";
import { familiarReference, parseReference, shownReference } from "../../image/reference.ts";
import type { Platform } from "../../oci/image.ts";
import type { EngineContext } from "../context.ts";
import { type BundleRequest, writeBundle } from "./bundle.ts";
import { registryCredentials } from "./credentials.ts";
import { historyOf } from "./history.ts";
import { type ListOptions, listImages } from "./list.ts";
import { isOfManifest, manifestDescriptor, manifestSummaries } from "./manifests.ts";
import { reported } from "./progress.ts";
import { type SearchRequest, searchImages } from "./search.ts";
import { inspectImage } from "./view.ts";

export interface PullOptions {
  /** The reference is a repository, and all its tags are meant. */
  allTags?: boolean;
  platform?: string;
  auth?: AuthConfig;
}

export class ImageService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  pull(reference: string, options: PullOptions, signal: AbortSignal): AsyncGenerator<JsonMessage, void, void> {
    return reported(async (report) => {
      await this.#pull(reference, options, report, signal);
    });
  }

  /** Writes an OCI bundle; the directory is new or empty, and left so when it fails. */
  bundle(request: BundleRequest, signal: AbortSignal): AsyncGenerator<JsonMessage, void, void> {
    return reported(async (report) => {
      const { image: reference, platform, pull, auth } = request;
      const options = { ...(platform && { platform }), ...(auth && { auth }) };
      const missing = this.#resolve(reference, platform) === undefined;
      if (pull === "always" || (pull === "missing" && missing)) await this.#pull(reference, options, report, signal);
      const image = this.#find(reference, platform);
      await writeBundle(this.#context, image, request.directory, signal);
      report({ status: `Bundle of ${reference} written to ${request.directory}` });
    });
  }

  async exists(reference: string, platform?: string): Promise<boolean> {
    return this.#resolve(reference, platform) !== undefined;
  }

  async list(options: ListOptions): Promise<ImageSummary[]> {
    return listImages(this.#context, options);
  }

  /** @throws EngineError not_found for an image, or a platform of it, that is not here. */
  async inspect(
    reference: string,
    options: { platform?: string; manifests: boolean; identity: boolean },
  ): Promise<ImageInspect> {
    const image = this.#find(reference, options.platform);
    const whole = { mediaType: image.mediaType, digest: image.id, size: image.documentBytes };
    return inspectImage(image, {
      descriptor: options.platform === undefined ? whole : manifestDescriptor(image),
      ...(options.manifests && { manifests: manifestSummaries(this.#context, image, options) }),
      ...(options.identity && { identity: this.#context.images.identity(image.id) }),
    });
  }

  /** @throws EngineError not_found. */
  async history(reference: string, options: { platform?: string }): Promise<ImageHistoryItem[]> {
    const image = this.#find(reference, options.platform);
    return historyOf(image, this.#context.images.layerBytes(image));
  }

  /** @throws EngineError not_found for an image, or a platform of it, that is not here. */
  async attestations(
    reference: string,
    options: { platform?: string; types: readonly string[]; statement: boolean },
  ): Promise<AttestationStatement[]> {
    const image = this.#find(reference, options.platform);
    const found = this.#context.images.attestations(image, { types: options.types, withStatements: options.statement });
    return found.map(({ descriptor, predicateType, statement }) => {
      return { Descriptor: descriptor, PredicateType: predicateType, ...(statement && { Statement: statement }) };
    });
  }

  /** @param target a name with a tag. @throws EngineError not_found. */
  async tag(reference: string, target: string): Promise<void> {
    const image = this.#find(reference);
    await this.#context.images.tag(image.id, target);
    this.#context.events.publish("image", "tag", image.id, { name: target, ...image.config.config?.Labels });
  }

  /** @throws EngineError not_found, conflict when a container uses it. */
  async remove(
    reference: string,
    options: { force: boolean; platforms: readonly string[] },
  ): Promise<ImageDeleteItem[]> {
    const { images, events } = this.#context;
    const { force } = options;
    const image = this.#find(reference);
    const platforms = options.platforms.map(parsePlatform);
    const removed =
      platforms.length > 0
        ? await images.removePlatforms(reference, { platforms, force, usersOf: (id, row) => this.#usersOf(id, row) })
        : await images.remove(reference, { force });
    return removed.map((item) => {
      if ("untagged" in item) {
        events.publish("image", "untag", image.id, { name: item.untagged });
        return { Untagged: item.untagged };
      }
      events.publish("image", "delete", item.deleted, { name: item.deleted });
      return { Deleted: item.deleted };
    });
  }

  /** Asks the index of docker.io, or the one that the term names. */
  async search(request: SearchRequest, signal: AbortSignal): Promise<ImageSearchItem[]> {
    return searchImages(this.#context, request, signal);
  }

  #usersOf(id: string, manifest: { manifestDigest: string; platform: Platform }): ImageUser[] {
    const users = this.#context.containers.all().filter(({ definition }) => isOfManifest(definition, id, manifest));
    return users.map(({ id: containerId, active }) => ({ containerId, running: active }));
  }

  async #pull(
    reference: string,
    options: PullOptions,
    report: (message: JsonMessage) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { platform, auth } = options;
    const credentials = registryCredentials(auth);
    const { images, events } = this.#context;
    const pulling = {
      ...(platform && { platform: parsePlatform(platform) }),
      ...(credentials && { credentials }),
      onProgress: (progress: PullProgress) => report(progressMessage(progress)),
      signal,
    };
    const tell = (name: string, { config }: Image) => {
      events.publish("image", "pull", name, { name, ...config.config?.Labels });
    };
    if (options.allTags) await images.pullTags(reference, pulling, tell);
    else tell(familiarReference(parseReference(reference)), await images.pull(reference, pulling));
  }

  #resolve(reference: string, platform?: string): Image | undefined {
    return this.#context.images.resolve(reference, platform ? parsePlatform(platform) : undefined);
  }

  #find(reference: string, platform?: string): Image {
    const image = this.#resolve(reference, platform);
    if (image !== undefined) return image;
    if (platform !== undefined && this.#resolve(reference) !== undefined) {
      const message = `image with reference ${reference} was found but does not provide the specified platform (${platform})`;
      throw new EngineError("not_found", message);
    }
    throw new EngineError("not_found", `No such image: ${shownReference(reference)}`, { hint: advice.noImage });
  }
}

function progressMessage({ id, status, current, total }: PullProgress): JsonMessage {
  return {
    status,
    // Docker's layers always have the detail, its other lines never.
    ...(id !== undefined && { id }),
    ...(id !== undefined &&
      !status.startsWith("Pulling from") && {
        progressDetail: {
          ...(current !== undefined && { current }),
          ...(total !== undefined && { total }),
        },
      }),
  };
}
