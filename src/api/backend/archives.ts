/** Images and file systems in and out as archives, as the routes need them. All methods throw EngineError. */
export interface ArchiveBackend {
  /** The container's whole file system as a tar archive, without what is mounted in it; running or not. */
  exportContainer(ref: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
