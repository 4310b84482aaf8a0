/** What keeps volumes: the local driver, or a plugin. The engine keeps the records of what it had them make. */

/** What a driver knows of a volume. */
export interface DriverVolume {
  /** Where its files are, or will be when it is mounted; "" where the driver does not say before that. */
  mountpoint: string;
  /** RFC 3339. */
  createdAt?: string;
  status?: Record<string, unknown>;
}

/** Whoever calls it does one thing at a time with a volume. Errors are EngineErrors that say what went wrong, not with what. */
export interface VolumeDriver {
  readonly name: string;
  /** `global`: the same volumes on all machines of a cluster. */
  readonly scope: "local" | "global";
  /** @throws EngineError invalid_argument for a name or an option that is none; nothing is left then. */
  create(name: string, options: Record<string, string>): Promise<void>;
  /** The volume and what is in it. Nothing happens where there is none. */
  remove(name: string): Promise<void>;
  get(name: string): Promise<DriverVolume | undefined>;
  /** As `get`, where nobody said that this driver has it: it is not waited for. Absent: `get` does. */
  probe?(name: string): Promise<DriverVolume | undefined>;
  list(): Promise<(DriverVolume & { name: string })[]>;
  /** Makes the files accessible for this user, as whom it is unmounted again. @returns the directory that they are in. */
  mount(name: string, userId: string): Promise<string>;
  unmount(name: string, userId: string): Promise<void>;
  /**
   * An earlier daemon mounted it for this user, who still has it. Absent: `mount` may be called once more.
   * @returns as `mount`.
   */
  restore?(name: string, userId: string): Promise<string>;
  /**
   * A directory that belongs to the volume and lies on the same mount as its files, beside them: what is made there can be
   * moved to them.
   */
  staging?(name: string): string | undefined;
  /**
   * Finishes what was begun with its volumes, and unmounts what nobody has restored, when the daemon starts. What has no
   * record may be all that is left of somebody's files, and the records may be what was lost: it goes if it is empty.
   * @param recorded names of all volumes.
   */
  removeLeftovers?(recorded: ReadonlySet<string>): Promise<Leftovers>;
}

export interface Leftovers {
  /** Names without a record, of volumes that were being made and had nothing in them yet. */
  removed: string[];
  /** Volumes that have no record, and are there from now on. */
  found: { name: string /** RFC 3339. */; createdAt: string }[];
}
