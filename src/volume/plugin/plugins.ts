/** The volume plugins of this host, by name. */
import { EngineError, wrapError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { NotImplemented } from "../../plugin/activation.ts";
import { defaultPluginTimes, PluginClient, PluginGone, type PluginTimes } from "../../plugin/client.ts";
import { canBePlugin, listPlugins } from "../../plugin/discovery.ts";
import type { VolumeDriver } from "../driver.ts";
import type { DriverSource } from "../drivers.ts";
import { PluginDriver } from "./driver.ts";
import type { PluginMounts } from "./mounts.ts";

export interface VolumePluginsOptions {
  mounts: PluginMounts;
  directories: readonly string[];
  /** Directories of the host that no volume can be in. */
  reserved: readonly string[];
  /** Drivers of the volumes on record: they are waited for, and asked for their volumes. */
  recorded?: readonly string[];
  times?: PluginTimes;
}

export class VolumePlugins implements DriverSource {
  readonly #drivers = new Map<string, PluginDriver>();
  readonly #options: Required<VolumePluginsOptions>;

  constructor(options: VolumePluginsOptions) {
    this.#options = { times: defaultPluginTimes, recorded: [], ...options };
    for (const name of this.#options.recorded) if (name !== "local") this.known(name);
  }

  /** The driver of that name, reached or not: what a record names is waited for when it is asked for something. */
  known(name: string): PluginDriver {
    const { directories, ...options } = this.#options;
    const known = this.#drivers.get(name) ?? new PluginDriver(new PluginClient(name, directories), options);
    this.#drivers.set(name, known);
    return known;
  }

  /**
   * @returns undefined when there is no such plugin, which takes a moment to know: it may be starting.
   * @throws EngineError in docker's words for one that does not answer, or is none for volumes.
   */
  async find(name: string): Promise<VolumeDriver | undefined> {
    if (!canBePlugin(name)) return undefined;
    const { times, directories } = this.#options;
    const isNew = !this.#drivers.has(name);
    const driver = this.known(name);
    try {
      const client = new PluginClient(name, directories);
      const isStranger = isNew && (await client.locate()) === undefined;
      await driver.activate(isStranger ? times.strangerPatienceMs : times.patienceMs);
      return driver;
    } catch (error) {
      if (isNew) this.#drivers.delete(name);
      if (error instanceof PluginGone && (await new PluginClient(name, directories).locate()) === undefined) {
        return undefined;
      }
      throw wrapError(error, `error looking up volume plugin ${name}`);
    }
  }

  /** Those that the folders name and that answer, and those that did so before. One that does not is not waited for. */
  async list(): Promise<VolumeDriver[]> {
    const names = new Set([...(await listPlugins(this.#options.directories)), ...this.#drivers.keys()]);
    const drivers = await Promise.all([...names].sort().map((name) => this.#reach(name)));
    return drivers.filter((driver) => driver !== undefined);
  }

  async #reach(name: string): Promise<VolumeDriver | undefined> {
    const isNew = !this.#drivers.has(name);
    const driver = this.known(name);
    try {
      await driver.activate(0, this.#options.times.probeMs);
      return driver;
    } catch (error) {
      if (!isNew) return driver;
      this.#drivers.delete(name);
      if (!(error instanceof NotImplemented) && error instanceof EngineError) {
        log("debug", "a plugin does not answer", { plugin: name, error: error.message });
      }
      return undefined;
    }
  }

  /** Those that have answered in this daemon's life. */
  names(): string[] {
    return [...this.#drivers.values()]
      .filter(({ isActive }) => isActive)
      .map(({ name }) => name)
      .sort();
  }

  /** Tells plugins of the mounts that an earlier daemon left and that nobody has restored. */
  settle(): void {
    for (const name of this.#options.mounts.drivers()) this.known(name).settle();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#drivers.values()].map((driver) => driver.close()));
  }
}
