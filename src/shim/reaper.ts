/**
 * Collects the ends of child processes. The shim is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): beside the
 * processes that it knows it gets those that lost their parents, and reaps them too.
 */
import { type ChildExit, processStat, reapChild } from "../../ffi/process.ts";

/** Ends of processes that nobody waited for yet: of those an external runtime left, before their pid is known. */
const unclaimedMax = 64;

export class Reaper implements Disposable {
  readonly #waiting = new Map<number, (exit: ChildExit) => void>();
  readonly #unclaimed = new Map<number, ChildExit>();
  /** Children that Bun.spawn reaps itself. */
  #foreign = 0;
  readonly #sweep = () => this.sweep();

  constructor() {
    // SIGCHLD arrives within about a millisecond. One signal may stand for many children (signal(7)).
    process.on("SIGCHLD", this.#sweep);
  }

  /** Resolves with how a child ended. Call it in the same turn in which the pid became known. */
  wait(pid: number): Promise<ChildExit> {
    const exit = reapChild(pid) ?? this.#claim(pid);
    if (exit !== undefined) return Promise.resolve(exit);
    const { promise, resolve } = Promise.withResolvers<ChildExit>();
    this.#waiting.set(pid, resolve);
    return promise;
  }

  /** An end that came before its pid was known; not that of an earlier process which had the same number. */
  #claim(pid: number): ChildExit | undefined {
    const exit = this.#unclaimed.get(pid);
    this.#unclaimed.delete(pid);
    return processStat(pid)?.parent === process.pid ? undefined : exit;
  }

  /** Runs work that uses Bun.spawn: its children must not be taken from it meanwhile. */
  async withForeignChildren<T>(work: () => Promise<T>): Promise<T> {
    this.#foreign++;
    try {
      return await work();
    } finally {
      this.#foreign--;
      this.sweep();
    }
  }

  sweep(): void {
    for (const [pid, resolve] of this.#waiting) {
      const exit = reapChild(pid);
      if (exit === undefined) continue;
      this.#waiting.delete(pid);
      resolve(exit);
    }
    while (this.#foreign === 0) {
      const exit = reapChild(-1);
      if (exit === undefined) return;
      const resolve = this.#waiting.get(exit.pid);
      if (resolve !== undefined) {
        // It ended after its own turn above.
        this.#waiting.delete(exit.pid);
        resolve(exit);
        continue;
      }
      this.#unclaimed.set(exit.pid, exit);
      for (const oldest of this.#unclaimed.keys()) {
        if (this.#unclaimed.size <= unclaimedMax) break;
        this.#unclaimed.delete(oldest);
      }
    }
  }

  [Symbol.dispose](): void {
    process.off("SIGCHLD", this.#sweep);
  }
}
