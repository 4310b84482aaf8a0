/**
 * The directories from a layer's root down to where a walk is, each beside those of the layers below that show at its
 * path. A tree may be deeper than the daemon has descriptors: those of the levels farthest up are given back, and opened
 * anew when the walk comes back to them.
 */
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open, openat } from "../../../ffi/files.ts";
import { getXattr, statx } from "../../../ffi/stat.ts";
import { isErrno } from "../../core/errors.ts";
import { opaqueAttribute, openBeneath } from "./look.ts";
import type { Slices } from "./slices.ts";

/** Levels that are open at once, beside the root. */
const openMax = 16;

interface Opened {
  directory: Fd;
  /** Topmost first; none that another one hides. */
  lower: readonly Fd[];
}

interface Level {
  name: Uint8Array;
  /** Device and inode. */
  identity: string;
  /** Nothing of the layers below is looked at. */
  isNew: boolean;
  opened: Opened | undefined;
}

export class LayerLevels implements Disposable {
  readonly #slices: Slices;
  /** The root first, which stays open. */
  readonly #levels: Level[];
  readonly #root: Opened;

  /** @param upper the layer. @param lower those below, topmost first. */
  constructor(upper: string, lower: readonly string[], slices: Slices) {
    this.#slices = slices;
    using opened = new DisposableStack();
    const directory = opened.use(open(upper, O_RDONLY | O_DIRECTORY));
    this.#root = { directory, lower: lower.map((path) => opened.use(open(path, O_PATH | O_DIRECTORY))) };
    this.#levels = [{ name: new Uint8Array(), identity: identityOf(directory), isNew: false, opened: this.#root }];
    opened.move();
  }

  get depth(): number {
    return this.#levels.length - 1;
  }

  /** Where the walk is. @throws SyscallError ENOENT when it is not there any more: it was removed or moved meanwhile. */
  async here(): Promise<Opened> {
    return this.#levels.at(-1)!.opened ?? (await this.#reopened());
  }

  /** @param isNew the layers below have no such directory. @throws SyscallError ENOENT, ENOTDIR, ELOOP where there is none. */
  async enter(name: Uint8Array, isNew: boolean): Promise<void> {
    const opened = below(await this.here(), name, isNew);
    this.#levels.push({ name, identity: identityOf(opened.directory), isNew, opened });
    const far = this.#levels[this.#levels.length - 1 - openMax];
    if (far) this.#close(far);
  }

  leave(): void {
    const level = this.#levels.pop();
    if (level) this.#close(level);
  }

  [Symbol.dispose](): void {
    for (const level of this.#levels) this.#close(level);
    closeAll(this.#root);
  }

  #close(level: Level): void {
    if (level.opened === undefined || level.opened === this.#root) return;
    closeAll(level.opened);
    level.opened = undefined;
  }

  /** From the root, by names; the levels next above are opened with it, for the walk will come to them. */
  async #reopened(): Promise<Opened> {
    let at = this.#root;
    let passing: Opened | undefined;
    const kept = this.#levels.length - openMax;
    try {
      for (const [index, level] of this.#levels.entries()) {
        if (index === 0) continue;
        await this.#slices.turn();
        const next = level.opened ?? below(at, level.name, level.isNew);
        if (passing) closeAll(passing);
        passing = level.opened === undefined ? next : undefined;
        if (passing && identityOf(passing.directory) !== level.identity) throw new MovedError();
        if (passing && index >= kept) {
          level.opened = passing;
          passing = undefined;
        }
        at = next;
      }
    } finally {
      if (passing) closeAll(passing);
    }
    return at;
  }
}

/** As the kernel says it of what is gone. */
class MovedError extends Error {
  readonly errno = "ENOENT";

  constructor() {
    super("the directory was moved meanwhile");
  }
}

function below({ directory, lower }: Opened, name: Uint8Array, isNew: boolean): Opened {
  using opened = new DisposableStack();
  const own = opened.use(openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const found: Fd[] = [];
  for (const layer of isNew ? [] : lower) {
    const there = openBeneath(layer, Buffer.from(name).toString("latin1"), O_RDONLY | O_NOFOLLOW, true);
    if (there === undefined) continue;
    // A file or a whiteout: nothing of the layers below shows.
    if (there === "other") break;
    found.push(opened.use(there));
    if (getXattr(there, opaqueAttribute) !== undefined) break;
  }
  opened.move();
  return { directory: own, lower: found };
}

function closeAll({ directory, lower }: Opened): void {
  for (const each of [directory, ...lower]) each.close();
}

function identityOf(directory: Fd): string {
  const { deviceMajor, deviceMinor, inode } = statx(directory);
  return `${deviceMajor}:${deviceMinor}:${inode}`;
}

/** It was removed, or has become something else, since its name was read. */
export function isGone(error: unknown): boolean {
  return isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ESTALE");
}
