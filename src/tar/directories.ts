/**
 * The directories of a root file system by descriptor, opened the way the kernel resolves a path in a chroot.
 *
 * RESOLVE_IN_ROOT and not RESOLVE_BENEATH: images do hold absolute symlinks in the middle of paths (`/var/run` →
 * `/run`), and what lies "below" such a link belongs inside the image. IN_ROOT takes the slash for the image's own
 * root and keeps `..` below it; BENEATH would refuse with EXDEV. Neither can leave: there is no moment between a
 * check and a use, which is how every tool that joins strings was tricked (CVE-2018-15664, CVE-2021-30465).
 */

import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { mkdirat, openat2, readlinkat } from "../../ffi/files.ts";
import { type FileStatus, isDirectory, isSymlink, statx } from "../../ffi/stat.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { nameOf, parentOf, resolveTarget } from "./entry-path.ts";
import { printable } from "./tar-entry.ts";

const cachedMax = 64;
/** The kernel's own limit (path_resolution(7)). */
const symlinksMax = 40;

export interface DirectoryEvents {
  /** A directory that no entry described was needed and made. */
  onImplicit(path: string): void;
  /** As it is opened then. */
  onMade?(directory: Fd): void;
  /** Something is about to be made in it. What this throws, comes out. */
  onMissing?(parent: Fd): void;
  /** A name on the way is no directory. True: it was removed, and a directory shall be made of it. */
  onObstacle(parent: Fd, path: string, status: FileStatus): boolean;
}

export class Directories implements Disposable {
  readonly #root: Fd;
  readonly #events: DirectoryEvents;
  /** Path → descriptor, least recently used first. */
  readonly #open = new Map<string, Fd>();
  readonly #forgotten: Fd[] = [];
  /** Of the one that was used last, which is open. */
  #lastPath: string | undefined;

  /** @param root stays the caller's to close. */
  constructor(root: Fd, events: DirectoryEvents) {
    this.#root = root;
    this.#events = events;
  }

  /** The directory at a clean path, made where it is missing. The descriptor stays this object's. */
  get(path: string): Fd {
    if (path === "") return this.#root;
    // Most entries lie beside the one before.
    if (path === this.#lastPath) return this.#open.get(path)!;
    const cached = this.#open.get(path);
    if (cached) {
      this.#open.delete(path);
      this.#open.set(path, cached);
      this.#lastPath = path;
      return cached;
    }
    return this.#keep(path, this.#find(path) ?? this.#make(path, 0));
  }

  /** The directory at a clean path; undefined where there is none. The descriptor stays this object's. */
  find(path: string): Fd | undefined {
    if (path === "" || this.#open.has(path)) return this.get(path);
    const found = this.#find(path);
    return found && this.#keep(path, found);
  }

  /** Takes over a descriptor that the caller opened anyway. */
  adopt(path: string, directory: Fd): void {
    this.#keep(path, directory);
  }

  /**
   * After something was removed: paths may lead elsewhere now, through symlinks too, so none is trusted any more.
   * Descriptors that were handed out stay open until `closeForgotten`.
   */
  forget(): void {
    this.#forgotten.push(...this.#open.values());
    this.#open.clear();
    this.#lastPath = undefined;
  }

  /** To be called when no descriptor from here is in use. */
  closeForgotten(): void {
    for (const directory of this.#forgotten.splice(0)) directory.close();
  }

  [Symbol.dispose](): void {
    this.forget();
    this.closeForgotten();
  }

  #keep(path: string, directory: Fd): Fd {
    this.#open.get(path)?.close();
    this.#open.set(path, directory);
    this.#lastPath = path;
    if (this.#open.size > cachedMax) {
      const [oldest, closing] = this.#open.entries().next().value!;
      this.#open.delete(oldest);
      closing.close();
    }
    return directory;
  }

  #find(path: string): Fd | undefined {
    try {
      return openInRoot(this.#root, path);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  #make(path: string, symlinks: number): Fd {
    if (symlinks > symlinksMax) throw new EngineError("invalid_argument", `${printable(path)}: symlink loop`);
    if (path === "") return openInRoot(this.#root, ".");
    const parentPath = parentOf(path);
    const parent = this.#findOrMake(parentPath, symlinks);
    using _parent = parent.own;
    const name = Buffer.from(nameOf(path), "latin1");
    this.#events.onMissing?.(parent.fd);
    for (let attempt = 0; ; attempt++) {
      let isMade = false;
      try {
        mkdirat(parent.fd, name, 0o755);
        isMade = true;
        this.#events.onImplicit(path);
      } catch (error) {
        if (!isErrno(error, "EEXIST") || attempt > 0) throw error;
        const status = statx(parent.fd, name);
        if (isSymlink(status)) {
          const target = Buffer.from(readlinkat(parent.fd, name)).toString("latin1");
          const resolved = resolveTarget(parentPath, target);
          return this.#find(resolved) ?? this.#make(resolved, symlinks + 1);
        }
        if (!isDirectory(status) && this.#events.onObstacle(parent.fd, path, status)) continue;
      }
      using directory = openat2(parent.fd, name, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW });
      if (isMade) this.#events.onMade?.(directory);
      return directory.move();
    }
  }

  /** As get, without keeping: `own` is what has to be closed. */
  #findOrMake(path: string, symlinks: number): { fd: Fd; own: Fd | undefined } {
    const kept = path === "" ? this.#root : this.#open.get(path);
    if (kept) return { fd: kept, own: undefined };
    const own = this.#find(path) ?? this.#make(path, symlinks);
    return { fd: own, own };
  }
}

/** The directory at `path` seen from `root` as if that were `/`. */
function openInRoot(root: Fd, path: string): Fd {
  return openat2(root, Buffer.from(path, "latin1"), {
    flags: O_RDONLY | O_DIRECTORY,
    resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  });
}
