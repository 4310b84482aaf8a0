/** One volume plugin as a driver. It is known by its name alone, and reached when it is asked for something. */
import { realpath, stat } from "node:fs/promises";
import { EngineError, errorMessage, isEngineError, isErrno } from "../../core/errors.ts";
import { KeyedLock } from "../../core/lock.ts";
import { log } from "../../core/log.ts";
import { activate, assertNoError } from "../../plugin/activation.ts";
import {
  fieldOf,
  type PluginClient,
  PluginGone,
  PluginRefusal,
  type PluginTimes,
  Waits,
  whileAway,
} from "../../plugin/client.ts";
import type { DriverVolume, VolumeDriver } from "../driver.ts";
import { checkMountpoint, readScope, readVolume, readVolumes } from "./messages.ts";
import type { PluginMount, PluginMounts } from "./mounts.ts";

export interface PluginDriverOptions {
  mounts: PluginMounts;
  times: PluginTimes;
  /** Directories that no volume can be in. */
  reserved: readonly string[];
}

/** How long a directory may take to be looked at: it may be of a server that does not answer. */
const lookTimeoutMs = 10_000;

export class PluginDriver implements VolumeDriver {
  readonly #client: PluginClient;
  readonly #options: PluginDriverOptions;
  readonly #locks = new KeyedLock();
  #scope: "local" | "global" = "local";
  #activation: Promise<void> | undefined;
  #isActive = false;
  #settling: Promise<void> | undefined;
  readonly #closing = new AbortController();
  readonly #closed = Promise.withResolvers<void>();

  constructor(client: PluginClient, options: PluginDriverOptions) {
    this.#client = client;
    this.#options = options;
  }

  get name(): string {
    return this.#client.name;
  }

  /** `local` until it has said something else. */
  get scope(): "local" | "global" {
    return this.#scope;
  }

  /** It has answered as a volume plugin in this daemon's life. */
  get isActive(): boolean {
    return this.#isActive;
  }

  /**
   * Says hello, once in the daemon's life. @param patienceMs how long to wait for one that is not there.
   * @throws NotImplemented; PluginGone when it is not there.
   */
  async activate(patienceMs: number, timeoutMs = this.#options.times.shortMs): Promise<void> {
    if (this.#isActive) return;
    await whileAway(patienceMs, () => {
      this.#activation ??= this.#activate(timeoutMs).finally(() => {
        this.#activation = undefined;
      });
      return this.#activation;
    });
  }

  async #activate(timeoutMs: number): Promise<void> {
    await activate(this.#client, "VolumeDriver", { timeoutMs, patienceMs: 0 });
    this.#scope = await this.#askScope(timeoutMs);
    this.#isActive = true;
  }

  /** Not every plugin answers this. */
  async #askScope(timeoutMs: number): Promise<"local" | "global"> {
    try {
      return readScope(await this.#client.call("VolumeDriver.Capabilities", {}, { timeoutMs, patienceMs: 0 }));
    } catch (error) {
      if (!(error instanceof PluginRefusal)) throw error;
      log("debug", "a plugin does not tell its capabilities", { plugin: this.name, error: error.message });
      return "local";
    }
  }

  async create(name: string, options: Record<string, string>): Promise<void> {
    const Opts = Object.keys(options).length > 0 ? options : null;
    await this.#call("Create", { Name: name, Opts }, this.#options.times.longMs);
  }

  async remove(name: string): Promise<void> {
    await this.activate(this.#options.times.patienceMs);
    await this.#locks.run(name, async () => {
      // A plugin may refuse to remove what it believes to be mounted.
      for (const mount of this.#options.mounts.owed(this.name, name)) await this.#giveUp(mount);
      await this.#call("Remove", { Name: name });
    });
  }

  async get(name: string): Promise<DriverVolume | undefined> {
    return this.#readVolume(name, () => this.#call("Get", { Name: name }));
  }

  /** A plugin that refuses to tell has none, as in Docker: they have no other way to say so. */
  async #readVolume(name: string, ask: () => Promise<Record<string, unknown>>): Promise<DriverVolume | undefined> {
    try {
      return readVolume(await ask());
    } catch (error) {
      if (!(error instanceof PluginRefusal)) throw error;
      log("debug", "a plugin has no such volume", { plugin: this.name, volume: name, error: error.message });
      return undefined;
    }
  }

  async probe(name: string): Promise<DriverVolume | undefined> {
    const { probeMs } = this.#options.times;
    return this.#readVolume(name, () => this.#call("Get", { Name: name }, probeMs, 0));
  }

  async list(): Promise<(DriverVolume & { name: string })[]> {
    return readVolumes(await this.#call("List", {}, this.#options.times.shortMs, 0), this.name);
  }

  mount(name: string, userId: string): Promise<string> {
    return this.#locks.run(name, () => this.#mount(name, userId));
  }

  async #mount(volume: string, user: string): Promise<string> {
    const { mounts, reserved, times } = this.#options;
    const mount: PluginMount = { driver: this.name, volume, user, isHeld: true };
    mounts.set(mount);
    let isMounted = false;
    try {
      const answer = await this.#call("Mount", { Name: volume, ID: user }, times.longMs);
      isMounted = true;
      const directory = checkMountpoint(fieldOf(answer, "Mountpoint"), { plugin: this.name, volume, reserved });
      await this.#look(volume, directory);
      mounts.set({ ...mount, directory });
      return directory;
    } catch (error) {
      const owed = { ...mount, isHeld: false };
      mounts.set(owed);
      if (isMounted || mayHaveMounted(error)) await this.#giveUp(owed);
      // Plugins that count users without their ids would take the unmount for another's.
      else mounts.delete(owed);
      throw error;
    }
  }

  /** @throws PluginRefusal for what is no directory that a container can be given. */
  async #look(volume: string, directory: string): Promise<void> {
    const wrong = (reason: string) =>
      new PluginRefusal("internal", `plugin "${this.name}": VolumeDriver.Mount: volume ${volume}: ${reason}`);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(wrong(`mountpoint ${directory} cannot be looked at within ${lookTimeoutMs / 1000} seconds`)),
      lookTimeoutMs,
    );
    try {
      const { reserved } = this.#options;
      const path = await Promise.race([realpath(directory), late.promise]);
      checkMountpoint(path, { plugin: this.name, volume, reserved });
      await Promise.race([stat(path), late.promise]);
    } catch (error) {
      if (isErrno(error, "ENOENT")) throw wrong(`mountpoint ${directory}: no such file or directory`);
      throw error instanceof EngineError ? error : wrong(`mountpoint ${directory}: ${errorMessage(error)}`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A container runs on what it has mounted, whether the plugin lives or not. */
  restore(name: string, userId: string): Promise<string> {
    const { mounts } = this.#options;
    const mount = mounts.get(this.name, name, userId);
    if (mount?.directory === undefined) return this.mount(name, userId);
    mounts.set({ ...mount, isHeld: true });
    return Promise.resolve(mount.directory);
  }

  /** Does not wait long: a plugin that is away is told when it comes back, and one that is slow goes on by itself. */
  async unmount(name: string, userId: string): Promise<void> {
    const told = this.#locks.run(name, async () => {
      const { mounts } = this.#options;
      const mount = mounts.get(this.name, name, userId);
      if (mount === undefined) return;
      const owed = { ...mount, isHeld: false };
      mounts.set(owed);
      await this.#giveUp(owed);
    });
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, this.#options.times.probeMs);
    await Promise.race([told, late.promise]).finally(() => clearTimeout(timer));
  }

  /** Tells the plugin what it does not know yet, now and until it knows. */
  settle(): void {
    if (this.#options.mounts.owed(this.name).length === 0) return;
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = undefined;
    });
  }

  async #settle(): Promise<void> {
    const waits = new Waits(Number.POSITIVE_INFINITY);
    while (!this.#closing.signal.aborted) {
      for (const { volume, user } of this.#options.mounts.owed(this.name)) {
        await this.#locks.run(volume, async () => {
          const mount = this.#options.mounts.get(this.name, volume, user);
          if (mount !== undefined && !mount.isHeld) await this.#tryUnmount(mount);
        });
      }
      if (this.#options.mounts.owed(this.name).length === 0) return;
      await Promise.race([Bun.sleep(waits.next()!), this.#closed.promise]);
    }
  }

  /** Stops trying to tell it; the next daemon goes on with that. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#closed.resolve();
    await this.#settling;
  }

  /** Tells the plugin that this user has it no more; later, when it cannot be told now. */
  async #giveUp(mount: PluginMount): Promise<void> {
    if (await this.#tryUnmount(mount)) return;
    log("warn", "a plugin is away, and is told when it is back that a volume is not used any more", {
      plugin: this.name,
      volume: mount.volume,
    });
    this.settle();
  }

  /** @returns whether the plugin has been told. */
  async #tryUnmount(mount: PluginMount): Promise<boolean> {
    const { volume, user } = mount;
    const { mounts, times } = this.#options;
    const fields = { plugin: this.name, volume, user };
    let wasGreeted = false;
    try {
      await this.activate(0);
      wasGreeted = true;
      const options = { timeoutMs: times.shortMs, patienceMs: 0, signal: this.#closing.signal };
      assertNoError(await this.#client.call("VolumeDriver.Unmount", { Name: volume, ID: user }, options));
    } catch (error) {
      // What was sent and not answered in time is not sent again: it may be at it, and count without ids.
      const wasTold = wasGreeted && (error instanceof PluginRefusal || isEngineError(error, "timeout"));
      if (!wasTold) {
        log("debug", "a plugin cannot be told of an unmount now", { ...fields, error: errorMessage(error) });
        return false;
      }
      // It knows what it does; Docker leaves it at that, too.
      log("warn", "a plugin did not unmount", { ...fields, error: errorMessage(error) });
    }
    mounts.delete(mount);
    return true;
  }

  async #call(
    method: string,
    body: unknown,
    timeoutMs = this.#options.times.shortMs,
    patienceMs = this.#options.times.patienceMs,
  ): Promise<Record<string, unknown>> {
    await this.activate(patienceMs);
    const answer = await this.#client.call(`VolumeDriver.${method}`, body, { timeoutMs, patienceMs });
    assertNoError(answer);
    return answer;
  }
}

/** The plugin was asked, and did not say that it refuses. */
function mayHaveMounted(error: unknown): boolean {
  return error instanceof PluginGone ? error.wasSent : !(error instanceof PluginRefusal);
}
