/**
 * The devices of all CDI files. They are looked for whenever somebody asks, so that a driver may write its file at any
 * time; a file is read again only when it has changed.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { errorMessage, isErrno } from "../../core/errors.ts";
import { type CdiEdits, type CdiSpec, parseCdiSpec } from "./spec.ts";

/** More than any driver's file; it is read in one piece by the daemon, which does nothing else meanwhile. */
const fileBytesMax = 2 * 2 ** 20;

export interface CdiDevice {
  /** The file that it is from. */
  spec: CdiSpec;
  edits: CdiEdits;
}

export interface CdiCatalog {
  /** By qualified name: `vendor.com/class=name`. */
  devices: ReadonlyMap<string, CdiDevice>;
  /** Files that cannot be used, and devices that two files of one folder claim. */
  errors: { path: string; message: string }[];
}

interface Candidate extends CdiDevice {
  path: string;
  folder: string;
  isConflicting?: boolean;
}

type Loaded = { spec: CdiSpec } | { failure: string };

interface KnownFile {
  signature: string;
  loaded: Loaded;
}

export class CdiRegistry {
  /** Later ones take precedence. */
  readonly folders: readonly string[];
  /** By path, with what tells whether the file is the same. */
  #files = new Map<string, KnownFile>();

  constructor(folders: readonly string[]) {
    this.folders = folders;
  }

  read(): CdiCatalog {
    const candidates = new Map<string, Candidate>();
    const errors: CdiCatalog["errors"] = [];
    const kept = new Map<string, KnownFile>();
    for (const folder of this.folders) {
      for (const path of filesOf(folder, errors)) {
        const loaded = this.#load(path, kept);
        if ("failure" in loaded) errors.push({ path, message: `failed to load CDI Spec: ${loaded.failure}` });
        else offer(candidates, { spec: loaded.spec, path, folder }, errors);
      }
    }
    this.#files = kept;
    const usable = [...candidates].filter(([, { isConflicting }]) => !isConflicting);
    return { devices: new Map(usable.sort(([a], [b]) => (a < b ? -1 : 1))), errors };
  }

  #load(path: string, kept: Map<string, KnownFile>): Loaded {
    try {
      // The time of the last change of any kind, too: that of the content can be set back.
      const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
      const signature = `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
      const before = this.#files.get(path);
      const file = before?.signature === signature ? before : { signature, loaded: load(path) };
      kept.set(path, file);
      return file.loaded;
    } catch (error) {
      return { failure: errorMessage(error) };
    }
  }
}

function load(path: string): Loaded {
  const content = readRegular(path);
  try {
    return { spec: parseCdiSpec(content) };
  } catch (error) {
    return { failure: `invalid CDI Spec: ${errorMessage(error)}` };
  }
}

/**
 * Never waits: a FIFO is opened without a writer, and nothing is read that has no end.
 * @throws Error for anything but a file of a usual size.
 */
function readRegular(path: string): string {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) throw new Error("not a regular file");
    if (status.size > fileBytesMax) {
      throw new Error(`${status.size} bytes are more than the ${fileBytesMax} that a file may have`);
    }
    return readFileSync(descriptor, "utf8");
  } finally {
    closeSync(descriptor);
  }
}

/** A folder that is not there has no files; the same one under another name is read once more and conflicts with itself. */
function filesOf(folder: string, errors: CdiCatalog["errors"]): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => /\.(json|yaml)$/.test(entry.name) && !entry.isDirectory())
      .map(({ name }) => join(folder, name))
      .sort();
  } catch (error) {
    if (!isErrno(error, "ENOENT")) errors.push({ path: folder, message: errorMessage(error) });
    return [];
  }
}

/** A device of a later folder takes the place of one of the same name; two of one folder are nobody's. */
function offer(
  candidates: Map<string, Candidate>,
  file: Pick<Candidate, "spec" | "path" | "folder">,
  errors: CdiCatalog["errors"],
): void {
  const { spec, path, folder } = file;
  for (const { name, containerEdits } of spec.devices) {
    const qualified = `${spec.kind}=${name}`;
    const other = candidates.get(qualified);
    if (other?.folder === folder) {
      other.isConflicting = true;
      const specs = `specs ${JSON.stringify(path)}, ${JSON.stringify(other.path)}`;
      errors.push({ path, message: `conflicting device ${JSON.stringify(qualified)} (${specs})` });
    } else {
      candidates.set(qualified, { ...file, edits: containerEdits });
    }
  }
}
