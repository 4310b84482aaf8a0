/** What a writable layer says of its directories in attributes that the confined child must not see. */
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open, openat, readDirectory } from "../../../ffi/files.ts";
import { getXattr, isDirectory, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { printable } from "../../tar/tar-entry.ts";
import { depthMax } from "../../tar/tree-packer.ts";
import { opaqueAttribute } from "../snapshot/look.ts";

const redirectAttribute = "trusted.overlay.redirect";
/** How long the walk may hold the event loop before others have their turn. */
const sliceMs = 8;
const [unknownType, directoryType] = [0, 4];

/**
 * The directories that hide what lies below them; byte strings. By descriptor: a container may be changing the tree.
 * @throws EngineError unsupported for a directory that overlayfs moved without copying it, which no layer can say, and for a
 * tree that is too deep to be archived: the daemon's descriptors are not the container's to use up.
 */
export async function opaqueDirectories(upper: string): Promise<Set<string>> {
  const opaque = new Set<string>();
  const walk = new Walk(opaque);
  using root = open(upper, O_RDONLY | O_DIRECTORY);
  await walk.directory(root, "");
  return opaque;
}

class Walk {
  readonly #opaque: Set<string>;
  #sliceEnds = performance.now() + sliceMs;

  constructor(opaque: Set<string>) {
    this.#opaque = opaque;
  }

  async directory(directory: Fd, path: string, depth = 0): Promise<void> {
    if (depth > depthMax) throw new EngineError("unsupported", `more than ${depthMax} directories deep`);
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
    for (const { bytes, type } of readDirectory(directory)) {
      await this.#turn();
      if (type !== directoryType && type !== unknownType) continue;
      const name = Buffer.from(bytes).toString("latin1");
      try {
        if (type === unknownType && !isDirectory(statx(directory, bytes))) continue;
        using below = openat(directory, bytes, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        await this.directory(below, path === "" ? name : `${path}/${name}`, depth + 1);
      } catch (error) {
        // It went while its directory was read.
        if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      }
    }
  }

  async #turn(): Promise<void> {
    if (performance.now() < this.#sliceEnds) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceEnds = performance.now() + sliceMs;
  }
}
