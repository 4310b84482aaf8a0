import type { Filters } from "../schema/filters.ts";
import type {
  AttestationStatement,
  AuthConfig,
  ImageDeleteItem,
  ImageHistoryItem,
  ImageInspect,
  ImageSearchItem,
  ImageSummary,
} from "../schema/image.ts";
import type { JsonMessage } from "../schema/progress.ts";

export interface ImagePullOptions {
  /** The reference is a repository, and all its tags are meant. */
  allTags?: boolean;
  /** `os[/arch[/variant]]`; absent: the host's. */
  platform?: string;
  auth?: AuthConfig;
}

export interface ImageListOptions {
  all: boolean;
  sharedSize: boolean;
  manifests: boolean;
  /** Where each image came from, with its manifests. */
  identity: boolean;
  filters: Filters;
}

export interface ImageBundleRequest {
  image: string;
  /** Absolute, on the daemon's host; it does not exist yet, or is empty. */
  directory: string;
  platform?: string;
  pull: "missing" | "always" | "never";
  /** For the pull. */
  auth?: AuthConfig;
}

export interface ImageSearchRequest {
  term: string;
  /** 0: as many as Docker shows. */
  limit: number;
  filters: Filters;
  auth?: AuthConfig;
}

/** Images, as the routes need them. All methods throw EngineError: not_found ("No such image: x"), conflict, … */
export interface ImageBackend {
  /**
   * The messages are docker's own (`Pulling from library/busybox`, `Downloading` with progressDetail, …, `Digest:`,
   * `Status:`). An error before the first message becomes an HTTP status, a later one the stream's last line.
   * When `signal` aborts, the pull stops and what was downloaded is kept for the next.
   */
  pull(reference: string, options: ImagePullOptions, signal: AbortSignal): AsyncIterable<JsonMessage>;
  /**
   * Writes an OCI bundle, rootfs and config.json, pulling the image first as `pull` says. Ends when the bundle is
   * complete; when it fails or `signal` aborts, nothing half made is left in the directory.
   */
  bundle(request: ImageBundleRequest, signal: AbortSignal): AsyncIterable<JsonMessage>;
  /** Whether `create` would find it without a pull. */
  exists(reference: string, platform?: string): Promise<boolean>;
  list(options: ImageListOptions): Promise<ImageSummary[]>;
  inspect(
    reference: string,
    options: { manifests: boolean; identity: boolean; platform?: string },
  ): Promise<ImageInspect>;
  /** How it was made, the newest step first. */
  history(reference: string, options: { platform?: string }): Promise<ImageHistoryItem[]>;
  /** What is attached to one platform of an image. @param options.types of any of these; none: of all. */
  attestations(
    reference: string,
    options: { platform?: string; types: readonly string[]; statement: boolean },
  ): Promise<AttestationStatement[]>;
  /** Asks an index. @throws EngineError unsupported for a registry that has no search. */
  search(request: ImageSearchRequest, signal: AbortSignal): Promise<ImageSearchItem[]>;
  /** @param target familiar, with a tag: `name:tag`. */
  tag(reference: string, target: string): Promise<void>;
  /** @param options.platforms only these of the image; none: the image. */
  remove(
    reference: string,
    options: { force: boolean; noprune: boolean; platforms: readonly string[] },
  ): Promise<ImageDeleteItem[]>;
}
