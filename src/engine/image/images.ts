/** The service that the API's image routes call: the image part in the Engine API's words, with events and users. */
import type { AuthConfig, ImageDeleteItem, ImageInspect, ImageSummary } from "../../api/schema/image.ts";
import type { JsonMessage } from "../../api/schema/progress.ts";
import { EngineError } from "../../core/errors.ts";
import type { Image, PullProgress, RegistryCredentials } from "../../image/image.ts";
import { parsePlatform } from "../../image/platform.ts";
import { familiarReference, parseReference } from "../../image/reference.ts";
import type { EngineContext } from "../context.ts";
import { matchesLabels } from "../label-filter.ts";
import { type BundleRequest, writeBundle } from "./bundle.ts";
import { reported } from "./progress.ts";
import { inspectImage, summarizeImage } from "./view.ts";

export interface PullOptions {
  platform?: string;
  auth?: AuthConfig;
}

export type ImageFilters = Readonly<Record<string, readonly string[]>>;

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
      const { image: reference, platform, pull } = request;
      const options = { ...(platform && { platform }) };
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

  async list(options: { filters: ImageFilters }): Promise<ImageSummary[]> {
    const { images } = this.#context;
    const containers = this.#context.containers.all();
    const usersOf = (imageId: string) => containers.filter(({ definition }) => definition.imageId === imageId).length;
    const matches = imagePredicate(options.filters, (reference) => images.resolve(reference)?.createdAt);
    return images
      .list()
      .filter(matches)
      .map((summary) => namedBy(summary, options.filters.reference))
      .map((summary) => summarizeImage(summary, usersOf(summary.id)));
  }

  async inspect(reference: string, options: { platform?: string }): Promise<ImageInspect> {
    return inspectImage(this.#find(reference, options.platform));
  }

  /** @throws EngineError not_found, conflict when a container uses it. */
  async remove(reference: string, options: { force: boolean }): Promise<ImageDeleteItem[]> {
    const removed = await this.#context.images.remove(reference, { force: options.force });
    return removed.map((item) => {
      const [action, id] =
        "untagged" in item ? (["untag", item.untagged] as const) : (["delete", item.deleted] as const);
      this.#context.events.publish("image", action, id, { name: id });
      return "untagged" in item ? { Untagged: item.untagged } : { Deleted: item.deleted };
    });
  }

  async #pull(
    reference: string,
    options: PullOptions,
    report: (message: JsonMessage) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { platform, auth } = options;
    const credentials = auth && registryCredentials(auth);
    const image = await this.#context.images.pull(reference, {
      ...(platform && { platform: parsePlatform(platform) }),
      ...(credentials && { credentials }),
      onProgress: (progress) => report(progressMessage(progress)),
      signal,
    });
    const name = familiarReference(parseReference(reference));
    this.#context.events.publish("image", "pull", name, { name, ...image.config.config?.Labels });
  }

  #resolve(reference: string, platform?: string): Image | undefined {
    return this.#context.images.resolve(reference, platform ? parsePlatform(platform) : undefined);
  }

  #find(reference: string, platform?: string): Image {
    const image = this.#resolve(reference, platform);
    if (image === undefined) throw new EngineError("not_found", `No such image: ${reference}`);
    return image;
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

/** @throws EngineError invalid_argument for credentials that cannot be used. */
function registryCredentials(auth: AuthConfig): RegistryCredentials | undefined {
  const { username, password, auth: encoded } = auth;
  if (username !== undefined && password !== undefined) return { username, password };
  if (encoded) {
    const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString()) ?? [];
    if (user === undefined || secret === undefined) {
      throw new EngineError("invalid_argument", "registry credentials: auth is no base64 of user:password");
    }
    return { username: user, password: secret };
  }
  if (auth.identitytoken || auth.registrytoken) {
    throw new EngineError("unsupported", "registry credentials: identity tokens are not built in this version of tsd");
  }
  return undefined;
}

type ImageListing = Parameters<typeof summarizeImage>[0];

/** Docker's filters of `images`. @throws EngineError invalid_argument for an unknown one. */
function imagePredicate(
  filters: ImageFilters,
  createdAt: (reference: string) => string | undefined,
): (image: ImageListing) => boolean {
  const predicates = Object.entries(filters).map(([name, values]): ((image: ImageListing) => boolean) => {
    switch (name) {
      case "reference":
        return ({ repoTags }) => values.some((pattern) => repoTags.some((tag) => matchesReference(pattern, tag)));
      case "label":
        return ({ labels }) => matchesLabels(values, labels);
      case "dangling": {
        const wanted = values.includes("true") || values.includes("1");
        return ({ repoTags }) => (repoTags.length === 0) === wanted;
      }
      case "before":
      case "since": {
        const bounds = values.map((value) => boundOf(value, createdAt(value)));
        return ({ created }) => bounds.some((bound) => (name === "before" ? created < bound : created > bound));
      }
      case "until": {
        const bounds = values.map((value) => (/^\d+$/.test(value) ? Number(value) : Date.parse(value) / 1000));
        return ({ created }) => bounds.every((bound) => created < bound);
      }
      default:
        throw new EngineError("invalid_argument", `invalid filter '${name}'`);
    }
  });
  return (image) => predicates.every((matches) => matches(image));
}

/** Of an image with several names those that were asked for, as Docker shows it. */
function namedBy(image: ImageListing, patterns: readonly string[] | undefined): ImageListing {
  if (patterns === undefined) return image;
  const repoTags = image.repoTags.filter((tag) => patterns.some((pattern) => matchesReference(pattern, tag)));
  const names = new Set(repoTags.map(repositoryOf));
  return { ...image, repoTags, repoDigests: image.repoDigests.filter((digest) => names.has(digest.split("@")[0]!)) };
}

function repositoryOf(tag: string): string {
  return tag.slice(0, tag.lastIndexOf(":"));
}

/** @throws EngineError not_found when no image has that name. */
function boundOf(reference: string, createdAt: string | undefined): number {
  if (createdAt === undefined) throw new EngineError("not_found", `No such image: ${reference}`);
  return Math.floor(Date.parse(createdAt) / 1000);
}

/** A shell pattern over `name:tag`, or over the name alone when it has no tag: path.Match of Go. */
function matchesReference(pattern: string, tag: string): boolean {
  const glob = new Bun.Glob(pattern);
  return glob.match(tag) || glob.match(repositoryOf(tag));
}
