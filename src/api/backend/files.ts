/** Single files of containers, as the routes need them. All methods throw EngineError. */

/** What a path stands for. */
export interface PathStat {
  /** Its last part. */
  name: string;
  /** Bytes. */
  size: number;
  /** As stat(2) has it: file type and permissions. */
  mode: number;
  mtime: { seconds: number; nanoseconds: number };
  /** Of a symlink, followed to its end: an absolute path of the container. Else "". */
  linkTarget: string;
}

export interface ExtractRequest {
  /** Of a directory that is there. */
  path: string;
  /** A directory in the place of anything else, and the reverse, is an error. */
  keepsKinds: boolean;
  /** All that is written belongs to the container's user, where it has one. */
  toUser: boolean;
  /** All that is written belongs to this one: `user[:group]`, names of the container's own or numbers. */
  owner?: string;
}

export interface FileChange {
  /** Absolute. */
  path: string;
  kind: "modified" | "added" | "deleted";
}

export interface FileBackend {
  stat(ref: string, path: string, signal: AbortSignal): Promise<PathStat>;
  /** The archive is to be read to its end, or returned. */
  read(ref: string, path: string, signal: AbortSignal): Promise<{ stat: PathStat; archive: AsyncIterable<Uint8Array> }>;
  /** In the order of paths, directories before what is in them. */
  changes(ref: string): Promise<FileChange[]>;
  write(ref: string, request: ExtractRequest, archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
}
