/** Images and file systems in and out as archives, as the routes need them. All methods throw EngineError. */
import type { ContainerConfig } from "../schema/container-config.ts";
import type { JsonMessage } from "../schema/progress.ts";

/** The archive itself, or where it is. */
export type ImportSource = { archive: AsyncIterable<Uint8Array> } | { url: string };

export interface ImportOptions {
  /** `repository[:tag]`; absent: the image gets no name. */
  name?: string;
  message: string;
  /** Instructions of a Dockerfile. */
  changes: string[];
  platform?: string;
}

export interface CommitRequest {
  /** `repository[:tag]`; absent: the image gets no name. */
  name?: string;
  comment: string;
  author: string;
  /** Hold the container still while its files are read. */
  pause: boolean;
  /** Instructions of a Dockerfile. */
  changes: string[];
  config?: ContainerConfig;
}

export interface ArchiveBackend {
  /**
   * Images as one archive that is an OCI layout and docker's older format at once.
   * @param platforms `os[/arch[/variant]]`; none: all that are here.
   */
  save(names: string[], options: { platforms: string[] }, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * The messages are docker's: `Loading layer` with progressDetail unless quiet, and `Loaded image: NAME`. All images of
   * the archive become visible, or none.
   */
  load(
    archive: AsyncIterable<Uint8Array>,
    options: { quiet: boolean; platforms: string[] },
    signal: AbortSignal,
  ): AsyncIterable<JsonMessage>;
  /** The last message's status is the id of the image. */
  importImage(source: ImportSource, options: ImportOptions, signal: AbortSignal): AsyncIterable<JsonMessage>;
  /** A new image of what the container has changed. */
  commit(ref: string, request: CommitRequest, signal: AbortSignal): Promise<{ Id: string }>;
  /** The container's whole file system as a tar archive, without what is mounted in it; running or not. */
  exportContainer(ref: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
