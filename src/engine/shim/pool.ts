/**
 * Shims for containers that are about to start. They are kept ready (spares.ts), because starting a process takes longer
 * than everything else that a container's start consists of.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { errorMessage } from "../../core/errors.ts";
import { type LogLevel, log } from "../../core/log.ts";
import { type ShimClient, spawnShim } from "../../shim/client.ts";
import { moveToCgroup } from "../kernel.ts";
import type { Layout } from "../layout.ts";
import type { ShimPart, ShimSource, SurvivingShim } from "../parts.ts";
import { ShimGroups } from "./groups.ts";
import { Spares } from "./spares.ts";
import { findSurvivors } from "./survivors.ts";

/**
 * When a spare is started after the last was taken. By then a container that only runs `true` has ended, and its shim is
 * the spare; and one that lives on has got going: a process that starts takes a whole core for as long as a start does.
 */
const replenishMs = 100;

/** For how long more than one is kept ready after a burst of starts. */
const calmMs = 10_000;

export class ShimPool implements ShimSource {
  readonly #layout: Layout;
  readonly #logLevel: LogLevel;
  readonly #cgroup: string | undefined;
  readonly #spares: Spares<ShimClient>;
  readonly #groups = new ShimGroups<ShimClient>();
  /** Those of this daemon's own making: an earlier daemon's may be of another version, and go with their container. */
  readonly #spawned = new WeakSet<ShimPart>();

  /** @param cgroup where shims are put, when that is not where the daemon is. */
  constructor(layout: Layout, logLevel: LogLevel, cgroup?: string) {
    this.#layout = layout;
    this.#logLevel = logLevel;
    this.#cgroup = cgroup;
    this.#spares = new Spares({
      spawn: () => this.#spawn(),
      isUsable: (shim) => !shim.isClosed,
      // Without a connection it ends by itself.
      discard: (shim) => shim.close(),
      onFailure: (error) => log("warn", "could not start a spare shim", { error: errorMessage(error) }),
      startsMax: Math.max(2, navigator.hardwareConcurrency),
      replenishMs,
      calmMs,
    });
  }

  /**
   * A shim without a container; the caller's to use up, or to close.
   * @param group of containers that share a process.
   * @throws EngineError unavailable.
   */
  take(group?: string): Promise<ShimClient> {
    if (group === undefined) return this.#spares.take();
    return this.#groups.take(
      group,
      () => this.#newSocket(),
      () => this.#spares.take(),
    );
  }

  /**
   * The shim of an ended container becomes a spare where one is missing: it has all its code loaded and warm, so that
   * the next start is quicker, and no process has to be started for it.
   */
  async giveBack(shim: ShimPart): Promise<void> {
    let released: Promise<boolean> | undefined;
    if (this.#spawned.has(shim)) {
      const isSpare = await this.#spares.giveBack(shim as ShimClient, () => {
        released = shim.release({ reuse: true });
        return released.catch(() => false);
      });
      if (isSpare) return;
    }
    try {
      await (released ?? shim.release());
    } finally {
      shim.close();
    }
  }

  survivors(): Promise<SurvivingShim[]> {
    return findSurvivors(this.#layout);
  }

  /** Starts a spare shim, in the background, if there is none. */
  prepare(): void {
    this.#spares.prepare();
  }

  /** Lets the spares go. */
  close(): Promise<void> {
    return this.#spares.close();
  }

  #newSocket(): string {
    return join(this.#layout.shims, `${randomBytes(6).toString("hex")}.sock`);
  }

  async #spawn(): Promise<ShimClient> {
    const shim = await spawnShim({
      socketPath: this.#newSocket(),
      logPath: this.#layout.shimLog,
      logLevel: this.#logLevel,
    });
    if (this.#cgroup !== undefined) moveToCgroup((await shim.hello()).pid, this.#cgroup);
    this.#spawned.add(shim);
    return shim;
  }
}
