/**
 * Limits of directories, made of project quotas: each limited directory is a project of its own. Which project is whose
 * is on record before the kernel hears of it, and until nothing of the directory is left, so that no two ever share one:
 * a directory that is being deleted still takes its space.
 */
import type { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { projectOf, projectUsage, setProject, setProjectLimit } from "../../ffi/quota.ts";
import type { Schema } from "../core/database.ts";
import type { DirectoryLimits, LimitRefusal } from "../core/directory-limits.ts";
import { EngineError, errorMessage, isErrno, wrapError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { hostProjects } from "./host-projects.ts";
import { whyNoProjectQuota } from "./support.ts";

export const quotaSchema: Schema = {
  part: "quota",
  steps: [
    // A directory that was removed may be there again, as another, before nothing is left of the first.
    `CREATE TABLE quota_projects (
       id INTEGER PRIMARY KEY,
       directory TEXT NOT NULL,
       bytes INTEGER NOT NULL,
       released INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE UNIQUE INDEX quota_projects_directory ON quota_projects (directory) WHERE released = 0`,
  ],
};

interface Row {
  id: number;
  directory: string;
  bytes: number;
}

/** Projects of one root are looked for in a range of so many; where it begins follows from the root's name. */
const rangeSize = 2 ** 20;
/** Below are those that administrators choose by hand and other programs count up from 1. */
const rangesFrom = 2 ** 24;
const rangeCount = (2 ** 31 - rangesFrom) / rangeSize;
/** For the few blocks of a directory, of which file systems reserve many times as many. */
const roomBytes = 2 ** 20;
/** What was deleted may be held for a while by whoever has a file of it open. */
const sweepAgainMs = 500;
const sweepAgainMsMax = 60_000;

export interface ProjectQuotasOptions {
  database: Database;
  /** The daemon's: two daemons look for projects in different ranges. */
  root: string;
  /** Projects that are somebody else's, whatever the file system says; its default is what the host's files say. */
  taken?: () => Set<number>;
}

export class ProjectQuotas implements DirectoryLimits {
  readonly #database: Database;
  readonly #taken: () => Set<number>;
  readonly #first: number;
  #next: number;
  #timer: Timer | undefined;
  #pauseMs = sweepAgainMs;

  constructor({ database, root, taken = hostProjects }: ProjectQuotasOptions) {
    this.#database = database;
    this.#taken = taken;
    const hash = createHash("sha256").update(root).digest().readUInt32BE(0);
    this.#first = rangesFrom + (hash % rangeCount) * rangeSize;
    this.#next = this.#first;
  }

  whyNot(directory: string): LimitRefusal | undefined {
    return whyNoProjectQuota(directory);
  }

  limit(directory: string, bytes: number): void {
    const refusal = this.whyNot(directory);
    if (refusal !== undefined) {
      const { reason, hint } = refusal;
      throw new EngineError("unsupported", `limit ${directory}: ${reason}`, { path: directory, ...(hint && { hint }) });
    }
    using opened = open(directory, O_RDONLY | O_DIRECTORY);
    const id = this.#choose(opened);
    this.#database.run("INSERT INTO quota_projects (id, directory, bytes) VALUES (?, ?, ?)", [id, directory, bytes]);
    try {
      apply(opened, id, bytes);
    } catch (error) {
      this.release(directory);
      throw wrapError(error, `limit ${directory} to ${bytes} bytes`, { path: directory });
    }
  }

  isLimited(directory: string): boolean {
    const sql = "SELECT id FROM quota_projects WHERE directory = ? AND released = 0";
    return this.#database.query<{ id: number }, [string]>(sql).get(directory) !== null;
  }

  roomToMount(directory: string): Disposable {
    const none = { [Symbol.dispose]: () => undefined };
    const row = this.#database
      .query<Row, [string]>("SELECT id, directory, bytes FROM quota_projects WHERE directory = ? AND released = 0")
      .get(directory);
    if (row === null || this.whyNot(directory) !== undefined) return none;
    const { id, bytes } = row;
    const set = (limit: number) => {
      using opened = open(directory, O_RDONLY | O_DIRECTORY);
      setProjectLimit(opened, id, limit);
    };
    // Who is in the container may see and use it for a moment: so it is there only when it is needed.
    if (bytes - this.#used(row) >= roomBytes) return none;
    set(bytes + roomBytes);
    return { [Symbol.dispose]: () => set(bytes) };
  }

  release(directory: string): void {
    const sql = "UPDATE quota_projects SET released = 1 WHERE directory = ? AND released = 0";
    if (this.#database.run(sql, [directory]).changes === 0) return;
    this.close();
    this.#pauseMs = sweepAgainMs;
    this.#sweepLater();
  }

  /**
   * To be called once at the daemon's start, when it is known which directories there are: gives back the projects of all
   * others, and sees to it that those are limited as they were.
   */
  restore(directories: ReadonlySet<string>): void {
    for (const row of this.#rows(false)) {
      if (directories.has(row.directory)) this.#restoreLimit(row);
      else this.release(row.directory);
    }
    this.sweep();
  }

  /** Gives back projects that were released and that nothing belongs to any more. @returns how many are left to be. */
  sweep(): number {
    let left = 0;
    for (const { id, directory } of this.#rows(true)) {
      if (!giveBack(directory, id)) left++;
      else this.#database.run("DELETE FROM quota_projects WHERE id = ?", [id]);
    }
    if (left > 0) this.#sweepLater();
    return left;
  }

  /** Nothing is done later any more; the next daemon does it. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #rows(released: boolean): Row[] {
    return this.#database
      .query<Row, [number]>("SELECT id, directory, bytes FROM quota_projects WHERE released = ?")
      .all(released ? 1 : 0);
  }

  #sweepLater(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      try {
        this.sweep();
      } catch (error) {
        log("warn", "could not give back project quotas", { error: errorMessage(error) });
      }
    }, this.#pauseMs);
    this.#timer.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, sweepAgainMsMax);
  }

  /** A project that is nobody's: not on record, not named on the host, and that the file system knows nothing of. */
  #choose(directory: Fd): number {
    const taken = this.#taken();
    const recorded = this.#database.query<{ id: number }, [number]>("SELECT id FROM quota_projects WHERE id = ?");
    for (let tries = 0; tries < rangeSize; tries++) {
      const id = this.#next;
      this.#next = id + 1 < this.#first + rangeSize ? id + 1 : this.#first;
      if (taken.has(id) || recorded.get(id) !== null) continue;
      const { used, inodes, limit } = projectUsage(directory, id);
      if (used === 0 && inodes === 0 && limit === 0) return id;
    }
    throw new EngineError("no_space", `all project quotas from ${this.#first} to ${this.#next - 1} are taken`);
  }

  /** Bytes. */
  #used({ id, directory }: Row): number {
    using opened = open(directory, O_RDONLY | O_DIRECTORY);
    return projectUsage(opened, id).used;
  }

  /**
   * Somebody may have taken it away, the daemon been killed when there was room for a mount, or the file system be mounted
   * without quotas: nothing of that is a reason not to start.
   */
  #restoreLimit({ id, directory, bytes }: Row): void {
    try {
      using opened = open(directory, O_RDONLY | O_DIRECTORY);
      const refusal = this.whyNot(directory);
      if (refusal !== undefined) {
        log("warn", "the space that a directory takes is not limited", { directory, reason: refusal.reason });
      } else if (projectOf(opened).id !== id || [0, bytes + roomBytes].includes(projectUsage(opened, id).limit)) {
        apply(opened, id, bytes);
      }
    } catch (error) {
      log("warn", "the space that a directory takes may not be limited", { directory, error: errorMessage(error) });
    }
  }
}

/** First the limit: there is no moment in which what is written counts and is not limited. */
function apply(directory: Fd, id: number, bytes: number): void {
  setProjectLimit(directory, id, bytes);
  setProject(directory, { id, inherits: true });
}

/** @returns whether nothing belongs to the project any more, and its limit is gone. */
function giveBack(directory: string, id: number): boolean {
  try {
    // The one that it was in is on the same file system.
    using above = open(dirname(directory), O_RDONLY | O_DIRECTORY);
    const { used, inodes, limit } = projectUsage(above, id);
    if (used > 0 || inodes > 0) return false;
    if (limit > 0) setProjectLimit(above, id, 0);
    return true;
  } catch (error) {
    // Without quotas, there is nothing to be given back.
    if (isErrno(error, "ENOENT", "ENOSYS", "ESRCH")) return true;
    throw error;
  }
}
