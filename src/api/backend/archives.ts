/** Images and file systems in and out as archives, as the routes need them. All methods throw EngineError. */
export interface ArchiveBackend {
  /**
   * Images as one archive that is an OCI layout and docker's older format at once.
   * @param platforms `os[/arch[/variant]]`; none: all that are here.
   */
  save(names: string[], options: { platforms: string[] }, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** The container's whole file system as a tar archive, without what is mounted in it; running or not. */
  exportContainer(ref: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
