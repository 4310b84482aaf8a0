/** What a writable layer says of its directories in attributes that the confined child must not see. */
import type { Fd } from "../../../ffi/fd.ts";
import { directoryPieces } from "../../../ffi/files.ts";
import { getXattr, isDirectory, statx } from "../../../ffi/stat.ts";
import { EngineError } from "../../core/errors.ts";
import { join } from "../../tar/entry-path.ts";
import { printable } from "../../tar/tar-entry.ts";
import { depthMax } from "../../tar/tree-packer.ts";
import { isGone, LayerLevels } from "../snapshot/layer-levels.ts";
import { opaqueAttribute } from "../snapshot/look.ts";
import { Slices } from "../snapshot/slices.ts";

const redirectAttribute = "trusted.overlay.redirect";
const [unknownType, directoryType] = [0, 4];

/**
 * The directories that hide what lies below them; byte strings. By descriptor: a container may be changing the tree.
 * @throws EngineError unsupported for a directory that overlayfs moved without copying it, which no layer can say, and
 * for a tree that is too deep to be archived.
 */
export async function opaqueDirectories(upper: string): Promise<Set<string>> {
  const slices = new Slices();
  using levels = new LayerLevels(upper, [], slices);
  return await new Walk(levels, slices).run();
}

/** A directory that is being walked. */
interface Walked {
  path: string;
  /** Of the directories in it that are still to be walked. */
  names: Uint8Array[];
}

class Walk {
  readonly #opaque = new Set<string>();
  readonly #levels: LayerLevels;
  readonly #slices: Slices;

  constructor(levels: LayerLevels, slices: Slices) {
    this.#levels = levels;
    this.#slices = slices;
  }

  async run(): Promise<Set<string>> {
    const walked = [await this.#look("")];
    for (let at = walked.at(-1); at !== undefined; at = walked.at(-1)) {
      await this.#slices.turn();
      const name = at.names.pop();
      if (name !== undefined) {
        const below = await this.#enter(name, join(at.path, Buffer.from(name).toString("latin1")));
        if (below) walked.push(below);
        continue;
      }
      walked.pop();
      this.#levels.leave();
    }
    return this.#opaque;
  }

  /** Undefined where it went while its directory was read, or one further up was moved. */
  async #enter(name: Uint8Array, path: string): Promise<Walked | undefined> {
    if (this.#levels.depth === depthMax) {
      throw new EngineError("unsupported", `more than ${depthMax} directories deep`);
    }
    try {
      await this.#levels.enter(name, true);
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
    return await this.#look(path);
  }

  /** What the directory where the walk is says of itself, and the directories in it. */
  async #look(path: string): Promise<Walked> {
    const { directory } = await this.#levels.here();
    if (getXattr(directory, opaqueAttribute)?.[0] === "y".charCodeAt(0)) this.#opaque.add(path);
    if (getXattr(directory, redirectAttribute) !== undefined) {
      throw new EngineError(
        "unsupported",
        `directory ${printable(path)} was renamed in a way that a layer cannot hold`,
        {
          hint: "overlayfs has redirect_dir on: copy the directory inside the container instead of renaming it",
        },
      );
    }
    const names: Uint8Array[] = [];
    for (const piece of directoryPieces(directory)) {
      for (const { bytes, type } of piece) if (isDirectoryEntry(directory, bytes, type)) names.push(bytes);
      await this.#slices.turn();
    }
    return { path, names };
  }
}

function isDirectoryEntry(directory: Fd, name: Uint8Array, type: number): boolean {
  if (type !== unknownType) return type === directoryType;
  try {
    return isDirectory(statx(directory, name));
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}
