/**
 * Limits of what directories take, as the parts that make directories need them. Everything is synchronous, so that it
 * can stand between the making of a directory and the transaction that records it.
 */
export interface DirectoryLimits {
  /** Why directories below that one cannot be limited; undefined where they can. */
  whyNot(directory: string): LimitRefusal | undefined;
  /**
   * Limits an empty directory, and what will be in it, to that many bytes (above 0).
   * @throws EngineError unsupported where the file system cannot; nothing is changed then.
   */
  limit(directory: string, bytes: number): void;
  /** Whether `limit` was called for the directory, and `release` not yet. */
  isLimited(directory: string): boolean;
  /**
   * Lets a limited directory take a little more until the disposal: overlayfs makes a directory in `work` when it is
   * mounted, and one that is full would be mounted read-only.
   */
  roomToMount(directory: string): Disposable;
  /**
   * The directory is being removed: it is limited no more, under that name, and what its limit was made of is given
   * back as soon as nothing is left of it. Nothing happens where it is not limited.
   */
  release(directory: string): void;
}

export interface LimitRefusal {
  /** The file system, and what it lacks: `/dev/vda (ext4, mounted on /) is mounted without the option prjquota`. */
  reason: string;
  /** One line of advice. */
  hint?: string;
}
