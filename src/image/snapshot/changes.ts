/**
 * What a container has changed of its image's files, by what its own layer holds: docker's rules, by which a directory's
 * size and time say nothing, and a file that was only opened for writing is as it was.
 */
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { directoryPieces, openat } from "../../../ffi/files.ts";
import { type FileStatus, getXattr, isDirectory, isRegularFile, isWhiteout, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { join } from "../../tar/entry-path.ts";
import { depthMax } from "../../tar/tree-packer.ts";
import { isGone, LayerLevels } from "./layer-levels.ts";
import { opaqueAttribute } from "./look.ts";
import { Slices } from "./slices.ts";

export interface FileChange {
  /** Absolute, as the container has it. */
  path: string;
  kind: "modified" | "added" | "deleted";
}

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
  const slices = new Slices();
  using levels = new LayerLevels(upper, lower, slices);
  const points = mountPoints.map((path) => Buffer.from(path.replace(/^\/+|\/+$/g, "")).toString("latin1"));
  return await new Walk(levels, new Set(points), slices).run();
}

/** One name of a directory: what happened to it, and the directory that is to be walked. */
interface Found {
  path: string;
  kind: FileChange["kind"] | undefined;
  walked?: { name: Uint8Array; isNew: boolean };
}

/** A directory that is being walked. */
interface Walked {
  path: string;
  kind: FileChange["kind"] | undefined;
  isNew: boolean;
  /** What is in it, from the last to the first. */
  found: Found[];
  /** Its own place among the changes. */
  place: number;
}

class Walk {
  readonly #changes: FileChange[] = [];
  readonly #levels: LayerLevels;
  readonly #mountPoints: ReadonlySet<string>;
  readonly #slices: Slices;

  constructor(levels: LayerLevels, mountPoints: ReadonlySet<string>, slices: Slices) {
    this.#levels = levels;
    this.#mountPoints = mountPoints;
    this.#slices = slices;
  }

  async run(): Promise<FileChange[]> {
    const root = { path: "", kind: undefined, isNew: false, place: -1 };
    const walked: Walked[] = [{ ...root, found: await this.#contents(root) }];
    for (let at = walked.at(-1); at !== undefined; at = walked.at(-1)) {
      await this.#slices.turn();
      const found = at.found.pop();
      if (found === undefined) this.#leave(walked.pop()!);
      else if (found.walked) await this.#enter(found, found.walked, walked);
      else this.#changes.push({ path: shown(found.path), kind: found.kind! });
    }
    return this.#changes;
  }

  async #enter({ path, kind }: Found, { name, isNew }: { name: Uint8Array; isNew: boolean }, walked: Walked[]) {
    if (this.#levels.depth === depthMax) {
      throw new EngineError("unsupported", `more than ${depthMax} directories deep`);
    }
    const place = this.#changes.length;
    try {
      await this.#levels.enter(name, isNew);
    } catch (error) {
      if (isGone(error)) return;
      throw error;
    }
    this.#changes.push({ path: shown(path), kind: kind ?? "modified" });
    walked.push({ path, kind, isNew, place, found: await this.#contents({ path, isNew }) });
  }

  /** Where something in it is changed, it is itself. */
  #leave({ path, kind, place }: Walked): void {
    this.#levels.leave();
    const isEmpty = this.#changes.length === place + 1;
    if (isEmpty && (kind === undefined || (kind === "added" && this.#mountPoints.has(path)))) this.#changes.pop();
  }

  /** What happened to each name of the directory where the walk is, from the last to the first. */
  async #contents({ path, isNew }: { path: string; isNew: boolean }): Promise<Found[]> {
    const { directory, lower } = await this.#levels.here();
    const own = new Map<string, Uint8Array>();
    await this.#names(directory, (name, bytes) => own.set(name, bytes));
    const hides = !isNew && getXattr(directory, opaqueAttribute)?.[0] === "y".charCodeAt(0);
    const hidden = hides ? await this.#lowerNames(lower, own) : [];
    const found: Found[] = [];
    for (const name of await this.#slices.sorted([...own.keys(), ...hidden])) {
      await this.#slices.turn();
      const bytes = own.get(name);
      const below = join(path, name);
      const one = bytes
        ? this.#one(directory, lower, bytes, below, isNew)
        : ({ path: below, kind: "deleted" } as const);
      if (one) found.push(one);
    }
    return found.reverse();
  }

  /** @param isNew the image has no such directory: all that is in it is new, too. */
  #one(parent: Fd, lower: readonly Fd[], name: Uint8Array, path: string, isNew: boolean): Found | undefined {
    try {
      const status = statx(parent, name);
      const before = isNew ? undefined : beforeOf(lower, name);
      if (isWhiteout(status)) return before && { path, kind: "deleted" };
      const kind = before === undefined ? "added" : isChanged(parent, name, status, before) ? "modified" : undefined;
      if (isDirectory(status)) {
        return { path, kind, walked: { name, isNew: !before || !isDirectory(before.status) } };
      }
      const isPoint = status.size === 0 && this.#mountPoints.has(path);
      return kind && !(kind === "added" && isPoint) ? { path, kind } : undefined;
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  async #names(directory: Fd, on: (name: string, bytes: Uint8Array) => void): Promise<void> {
    for (const piece of directoryPieces(directory)) {
      for (const { bytes } of piece) on(Buffer.from(bytes).toString("latin1"), bytes);
      await this.#slices.turn();
    }
  }

  /** What the image's layers together show, except for what is there again. */
  async #lowerNames(lower: readonly Fd[], own: ReadonlyMap<string, Uint8Array>): Promise<string[]> {
    const names = new Map<string, Uint8Array>();
    for (const layer of lower) {
      using readable = openat(layer, ".", O_RDONLY | O_DIRECTORY);
      await this.#names(readable, (name, bytes) => !own.has(name) && names.set(name, bytes));
    }
    const shown: string[] = [];
    for (const [name, bytes] of names) {
      if (beforeOf(lower, bytes)) shown.push(name);
      await this.#slices.turn();
    }
    return shown;
  }
}

/** What the image's layers together show under a name. */
function beforeOf(lower: readonly Fd[], name: Uint8Array): Before | undefined {
  for (const directory of lower) {
    const status = statIfThere(directory, name);
    if (status === undefined) continue;
    return isWhiteout(status) ? undefined : { status, capability: capabilityOf(directory, name, status) };
  }
  return undefined;
}

interface Before {
  status: FileStatus;
  /** security.capability, as text. */
  capability: string;
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
