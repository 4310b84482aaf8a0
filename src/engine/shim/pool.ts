/**
 * Shims for containers that are about to start. One is kept ready, because starting a process takes longer than
 * everything else that a container's start consists of.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { errorMessage } from "../../core/errors.ts";
import { type LogLevel, log } from "../../core/log.ts";
import { type ShimClient, spawnShim } from "../../shim/client.ts";
import { moveToCgroup } from "../kernel.ts";
import type { Layout } from "../layout.ts";
import type { ShimPart, ShimSource, SurvivingShim } from "../parts.ts";
import { findSurvivors } from "./survivors.ts";

/**
 * When a spare is started after the last was taken. By then a container that only runs `true` has ended, and its shim is
 * the spare; and one that lives on has got going: a process that starts takes a whole core for as long as a start does.
 */
const replenishMs = 100;

export class ShimPool implements ShimSource {
  readonly #layout: Layout;
  readonly #logLevel: LogLevel;
  readonly #cgroup: string | undefined;
  #spare: Promise<ShimClient | undefined> | undefined;
  /** Those of this daemon's own making: an earlier daemon's may be of another version, and go with their container. */
  readonly #spawned = new WeakSet<ShimPart>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param cgroup where shims are put, when that is not where the daemon is. */
  constructor(layout: Layout, logLevel: LogLevel, cgroup?: string) {
    this.#layout = layout;
    this.#logLevel = logLevel;
    this.#cgroup = cgroup;
  }

  /** A shim without a container; the caller's to use up, or to close. @throws EngineError unavailable. */
  async take(): Promise<ShimClient> {
    const spare = this.#spare;
    this.#spare = undefined;
    this.#replenishLater();
    const ready = await spare;
    if (ready !== undefined && !ready.isClosed) return ready;
    return this.#spawn();
  }

  /**
   * The shim of an ended container becomes the spare where there is none: it has all its code loaded and warm, so that
   * the next start is quicker, and no process has to be started for it.
   */
  async giveBack(shim: ShimPart): Promise<void> {
    if (this.#closed || this.#spare !== undefined || !this.#spawned.has(shim)) {
      await shim.release();
      shim.close();
      return;
    }
    clearTimeout(this.#timer);
    // Whoever asks for a shim meanwhile waits for this one, which comes sooner than a new one.
    const released = shim.release({ reuse: true });
    const spare = released.then((isSpare) => (isSpare ? (shim as ShimClient) : undefined)).catch(() => undefined);
    this.#spare = spare;
    if ((await spare) !== undefined) return;
    shim.close();
    if (this.#spare === spare) {
      this.#spare = undefined;
      this.#replenishLater();
    }
    await released;
  }

  survivors(): Promise<SurvivingShim[]> {
    return findSurvivors(this.#layout);
  }

  /** Starts a spare shim, in the background, if there is none. */
  prepare(): void {
    if (this.#closed || this.#spare !== undefined) return;
    this.#spare = this.#spawn().catch((error) => {
      log("warn", "could not start a spare shim", { error: errorMessage(error) });
      return undefined;
    });
  }

  /** Lets the spare go: without a connection it ends by itself. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    (await this.#spare)?.close();
    this.#spare = undefined;
  }

  #replenishLater(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.prepare(), replenishMs);
    this.#timer.unref();
  }

  async #spawn(): Promise<ShimClient> {
    const name = randomBytes(6).toString("hex");
    const shim = await spawnShim({
      socketPath: join(this.#layout.shims, `${name}.sock`),
      logPath: this.#layout.shimLog,
      logLevel: this.#logLevel,
    });
    if (this.#cgroup !== undefined) moveToCgroup((await shim.hello()).pid, this.#cgroup);
    this.#spawned.add(shim);
    return shim;
  }
}
