/**
 * Users and groups of the host for containers that get some of their own. Which are taken follows from the containers'
 * records, so there is nothing that a crash could leave wrong: a range is taken from when its container is
 * on record until that record is gone.
 */
import { createHash } from "node:crypto";
import { EngineError } from "../../core/errors.ts";
import type { HostFiles, IdRange } from "./host-files.ts";

/** Whose entries of /etc/subuid and /etc/subgid are for containers: podman's name for it. */
export const rangeOwner = "containers";

/**
 * Where nobody has set any aside: above those that useradd(8) gives out (SUB_UID_MAX, 600100000), and within those
 * that systemd has for containers (UIDS-GIDS.md, 524288 to 1879048191).
 */
const ownPool: Pool = { start: 0x2800_0000, size: 0x7000_0000 - 0x2800_0000, alignment: 0x1_0000 };

interface Pool extends IdRange {
  /** What ranges begin at a multiple of. What an administrator set aside may be small, and begin anywhere. */
  alignment: number;
}

export class UserRanges {
  readonly #files: HostFiles;
  /** In the order of their numbers. */
  #taken: (IdRange & { container: string })[] = [];
  /**
   * The search goes on below: numbers that came back wait until the others were used. Downwards, because podman begins at
   * the other end of what is set aside for both.
   */
  #next: number;

  /** @param root of the daemon: others on this host begin elsewhere. */
  constructor(files: HostFiles, root: string) {
    this.#files = files;
    const { start, size, alignment } = ownPool;
    const block = createHash("sha256").update(root).digest().readUInt32BE() % (size / alignment);
    this.#next = start + (block + 1) * alignment;
  }

  /**
   * Takes a range for a container: the same numbers of users and groups.
   * @throws EngineError conflict when there is none.
   */
  take(container: string, size: number): IdRange {
    const { pools, obstacles } = this.#pools();
    const used = sorted([...obstacles, ...this.#taken]);
    const start = this.#search(pools, used, size);
    if (start === undefined) throw this.#exhausted(pools, size);
    this.#next = start;
    this.hold(container, { start, size });
    return { start, size };
  }

  /** The range is the container's: its record says so. */
  hold(container: string, range: IdRange): void {
    this.#taken = sorted([...this.#taken, { ...range, container }]);
  }

  /** Nothing happens when it has none. */
  release(container: string): void {
    this.#taken = this.#taken.filter((range) => range.container !== container);
  }

  /** Below the last that was given out, then from the end. */
  #search(pools: Pool[], used: IdRange[], size: number): number | undefined {
    const downwards = pools.toReversed();
    const later = downwards.map((pool) => cut(pool, this.#next)).filter((pool) => pool.size > 0);
    for (const pool of [...later, ...downwards]) {
      const start = lastFit(pool, used, size);
      if (start !== undefined) return start;
    }
    return undefined;
  }

  #pools(): { pools: Pool[]; obstacles: IdRange[] } {
    const [uids, gids] = [this.#files.subordinate("subuid"), this.#files.subordinate("subgid")];
    const isOurs = ({ owner }: { owner: string }) => owner === rangeOwner;
    const accounts = [...this.#files.users(), ...this.#files.groups()].map(({ id }) => ({ start: id, size: 1 }));
    const others = [...uids, ...gids].filter((range) => !isOurs(range));
    if (!uids.some(isOurs) && !gids.some(isOurs)) return { pools: [ownPool], obstacles: [...others, ...accounts] };
    return { pools: intersections(uids.filter(isOurs), gids.filter(isOurs)), obstacles: accounts };
  }

  #exhausted(pools: Pool[], size: number): EngineError {
    const isOwn = pools[0] === ownPool;
    const { directory } = this.#files;
    const where = isOwn ? "this host" : `what ${directory}/subuid and ${directory}/subgid set aside for ${rangeOwner}`;
    const total = pools.reduce((sum, pool) => sum + pool.size, 0);
    return new EngineError(
      "conflict",
      `no range of ${size} users and groups is free in ${where}: ${this.#taken.length} containers have some of ${total}`,
    );
  }
}

function sorted<T extends IdRange>(ranges: T[]): T[] {
  return ranges.sort((a, b) => a.start - b.start);
}

function cut(pool: Pool, to: number): Pool {
  return { ...pool, size: Math.min(pool.size, to - pool.start) };
}

/** @param used in the order of their numbers. */
function lastFit(pool: Pool, used: readonly IdRange[], size: number): number | undefined {
  const below = (end: number) => Math.floor((end - size) / pool.alignment) * pool.alignment;
  let start = below(pool.start + pool.size);
  for (const range of used.toReversed()) {
    if (range.start < start + size && range.start + range.size > start) start = below(range.start);
  }
  return start >= pool.start ? start : undefined;
}

function intersections(first: readonly IdRange[], second: readonly IdRange[]): Pool[] {
  const both = first.flatMap((a) =>
    second.map((b) => {
      const start = Math.max(a.start, b.start);
      return { start, size: Math.min(a.start + a.size, b.start + b.size) - start, alignment: 1 };
    }),
  );
  return sorted(both.filter(({ size }) => size > 0));
}
