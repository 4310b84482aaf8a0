/**
 * What a container has changed of its image's files, by what its own layer holds: docker's rules, by which a directory's
 * size and time say nothing, and a file that was only opened for writing is as it was.
 */
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open, openat, readDirectory } from "../../../ffi/files.ts";
import { type FileStatus, getXattr, isDirectory, isRegularFile, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { join, nameOf, parentOf } from "../../tar/entry-path.ts";
import { depthMax } from "../../tar/tree-packer.ts";
import { isWhiteout } from "../unpack/applier.ts";
import { look, opaqueAttribute } from "./look.ts";

export interface FileChange {
  /** Absolute, as the container has it. */
  path: string;
  kind: "modified" | "added" | "deleted";
}

/** How long the walk may hold the event loop before others have their turn. */
const sliceMs = 8;

/**
 * In the order of paths, directories before what is in them. By descriptor: a container may be changing the tree.
 * @param upper its own layer. @param lower the image's, topmost first.
 * @param mountPoints paths where runtimes put something: empty ones are no change.
 * @throws EngineError unsupported for a tree that is too deep.
 */
export async function changesOf(
  upper: string,
  lower: readonly string[],
  mountPoints: readonly string[],
): Promise<FileChange[]> {
  using opened = new DisposableStack();
  const layers = lower.map((path) => opened.use(open(path, O_PATH | O_DIRECTORY)));
  using root = open(upper, O_RDONLY | O_DIRECTORY);
  const points = mountPoints.map((path) => Buffer.from(path.replace(/^\/+|\/+$/g, "")).toString("latin1"));
  const walk = new Walk(layers, new Set(points));
  await walk.directory(root, "", { isNew: false, depth: 0 });
  return walk.changes;
}

class Walk {
  readonly changes: FileChange[] = [];
  readonly #layers: readonly Fd[];
  readonly #mountPoints: ReadonlySet<string>;
  #sliceEnds = performance.now() + sliceMs;

  constructor(layers: readonly Fd[], mountPoints: ReadonlySet<string>) {
    this.#layers = layers;
    this.#mountPoints = mountPoints;
  }

  /** @param isNew the image has none there: all that is in it is new, too. */
  async directory(directory: Fd, path: string, { isNew, depth }: { isNew: boolean; depth: number }): Promise<void> {
    if (depth > depthMax) throw new EngineError("unsupported", `more than ${depthMax} directories deep`);
    const own = new Map(
      readDirectory(directory).map(({ bytes }) => [Buffer.from(bytes).toString("latin1"), bytes] as const),
    );
    const hides = !isNew && getXattr(directory, opaqueAttribute)?.[0] === "y".charCodeAt(0);
    const hidden = hides ? this.#lowerNames(path).filter((name) => !own.has(name)) : [];
    for (const name of [...own.keys(), ...hidden].sort()) {
      await this.#turn();
      const below = join(path, name);
      const bytes = own.get(name);
      if (bytes === undefined) this.#add(below, "deleted");
      else await this.#entry(directory, bytes, below, { isNew, depth: depth + 1 });
    }
  }

  async #entry(parent: Fd, name: Uint8Array, path: string, at: { isNew: boolean; depth: number }): Promise<void> {
    try {
      const status = statx(parent, name);
      const before = at.isNew ? undefined : this.#lower(path);
      if (isWhiteout(status)) {
        if (before) this.#add(path, "deleted");
        return;
      }
      const kind = before === undefined ? "added" : isChanged(parent, name, status, before) ? "modified" : undefined;
      if (!isDirectory(status)) {
        const isPoint = status.size === 0 && this.#mountPoints.has(path);
        if (kind && !(kind === "added" && isPoint)) this.#add(path, kind);
        return;
      }
      await this.#subdirectory(parent, name, path, kind, { ...at, isNew: !before || !isDirectory(before.status) });
    } catch (error) {
      // It was removed, or has become something else, since its directory was read.
      if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ESTALE")) throw error;
    }
  }

  /** Where something in it is changed, it is itself. */
  async #subdirectory(
    parent: Fd,
    name: Uint8Array,
    path: string,
    kind: FileChange["kind"] | undefined,
    at: { isNew: boolean; depth: number },
  ): Promise<void> {
    using directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const place = this.changes.length;
    await this.directory(directory, path, at);
    const isEmpty = this.changes.length === place;
    if (isEmpty && (kind === undefined || (kind === "added" && this.#mountPoints.has(path)))) return;
    this.changes.splice(place, 0, { path: shown(path), kind: kind ?? "modified" });
  }

  #add(path: string, kind: FileChange["kind"]): void {
    this.changes.push({ path: shown(path), kind });
  }

  /** What the image's layers together show at a path. */
  #lower(path: string): Before | undefined {
    for (const layer of this.#layers) {
      using place = new DisposableStack();
      const { directory, hides } = lookAt(layer, parentOf(path), place);
      if (directory) {
        const name = Buffer.from(nameOf(path), "latin1");
        const status = statIfThere(directory, name);
        if (status)
          return isWhiteout(status) ? undefined : { status, capability: capabilityOf(directory, name, status) };
      }
      if (hides) return undefined;
    }
    return undefined;
  }

  #lowerNames(path: string): string[] {
    const names = new Set<string>();
    for (const layer of this.#layers) {
      using place = new DisposableStack();
      const { directory, hides } = lookAt(layer, path, place);
      if (directory) {
        using readable = openat(directory, ".", O_RDONLY | O_DIRECTORY);
        for (const { bytes } of readDirectory(readable)) names.add(Buffer.from(bytes).toString("latin1"));
      }
      if (hides) break;
    }
    return [...names].filter((name) => this.#lower(join(path, name)) !== undefined);
  }

  async #turn(): Promise<void> {
    if (performance.now() < this.#sliceEnds) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceEnds = performance.now() + sliceMs;
  }
}

interface Before {
  status: FileStatus;
  /** security.capability, as text. */
  capability: string;
}

function lookAt(layer: Fd, path: string, place: DisposableStack): { directory: Fd | undefined; hides: boolean } {
  if (path === "") return { directory: layer, hides: false };
  const found = look(layer, path);
  return { directory: found.directory && place.use(found.directory), hides: found.hides };
}

function isChanged(parent: Fd, name: Uint8Array, now: FileStatus, { status: before, capability }: Before): boolean {
  if (now.mode !== before.mode || now.uid !== before.uid || now.gid !== before.gid) return true;
  if (now.specialMajor !== before.specialMajor || now.specialMinor !== before.specialMinor) return true;
  if (capabilityOf(parent, name, now) !== capability) return true;
  if (isDirectory(now)) return false;
  const [{ seconds, nanoseconds }, then] = [now.modified, before.modified];
  return now.size !== before.size || seconds !== then.seconds || nanoseconds !== then.nanoseconds;
}

function capabilityOf(parent: Fd, name: Uint8Array, status: FileStatus): string {
  if (!isRegularFile(status)) return "";
  const path = Buffer.concat([Buffer.from(`/proc/self/fd/${parent.number}/`), name]);
  return Buffer.from(getXattr({ path }, "security.capability") ?? []).toString("latin1");
}

function statIfThere(directory: Fd, name: Uint8Array): FileStatus | undefined {
  try {
    return statx(directory, name);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function shown(path: string): string {
  return `/${Buffer.from(path, "latin1").toString()}`;
}
