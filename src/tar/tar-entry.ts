/** What a tar archive says about one file. Names are byte strings: latin1, a character a byte, any byte but zero. */
export type TarType = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

export interface TarTime {
  seconds: number;
  nanoseconds: number;
}

/** A part of a sparse file that has data; the rest are holes. */
export interface SparseRegion {
  offset: number;
  size: number;
}

export interface TarEntry {
  type: TarType;
  path: string;
  /** Of symbolic and hard links, else empty. */
  linkPath: string;
  /** The lower twelve bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of the file once unpacked. */
  size: number;
  mtime: TarTime;
  deviceMajor: number;
  deviceMinor: number;
  xattrs: ReadonlyMap<string, Uint8Array>;
  /** Undefined for a file whose data is whole. */
  sparse: SparseRegion[] | undefined;
}

/** Receives an archive in order: an entry, then for files its data, then the next entry. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** @param offset where in the file the bytes belong. */
  data(chunk: Uint8Array, offset: number): void;
  /** After the last byte of the entry. */
  entryEnd(): void;
}

/** A byte string as text for messages. */
export function printable(path: string): string {
  return JSON.stringify(Buffer.from(path, "latin1").toString("utf8")).slice(1, -1);
}

/** An empty file of root's, without a name, a mode or a time: what an entry is written over. */
export const emptyEntry: TarEntry = {
  type: "file",
  path: "",
  linkPath: "",
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: new Map(),
  sparse: undefined,
};
