/** The drivers that there are: the local one, and those that are found when they are asked for. */
import { EngineError } from "../core/errors.ts";
import type { Leftovers, VolumeDriver } from "./driver.ts";

/** Drivers that come and go. */
export interface DriverSource {
  /** @returns one that answers; undefined when there is none. */
  find(name: string): Promise<VolumeDriver | undefined>;
  /** The driver of that name, whether there is one or not: it is looked for when it is asked for something. */
  known(name: string): VolumeDriver;
  /** Those that can be reached now, and those that were there before. */
  list(): Promise<VolumeDriver[]>;
  /** The names of those that have answered. */
  names(): string[];
  /** All that are used have been restored: what else an earlier daemon had them mount may go. */
  settle(): void;
}

export class VolumeDrivers {
  readonly #local: VolumeDriver;
  readonly #others: DriverSource | undefined;

  constructor(local: VolumeDriver, others?: DriverSource) {
    this.#local = local;
    this.#others = others;
  }

  /** @throws EngineError not_found in docker's words. */
  async find(name: string): Promise<VolumeDriver> {
    if (name === this.#local.name) return this.#local;
    const found = await this.#others?.find(name);
    if (found !== undefined) return found;
    throw notFound(name);
  }

  /** The driver that a record names. It may not be there now, which is found out when it is asked for something. */
  known(name: string): VolumeDriver {
    if (name === this.#local.name) return this.#local;
    const known = this.#others?.known(name);
    if (known !== undefined) return known;
    throw notFound(name);
  }

  /** All, the local one first. */
  async all(): Promise<VolumeDriver[]> {
    return [this.#local, ...((await this.#others?.list()) ?? [])];
  }

  /** For `info`. */
  names(): string[] {
    return [this.#local.name, ...(this.#others?.names() ?? [])];
  }

  /**
   * When the daemon starts and all that is used has been restored.
   * @param recorded names of all volumes. @returns what of the local driver's had no record.
   */
  async removeLeftovers(recorded: ReadonlySet<string>): Promise<Leftovers> {
    this.#others?.settle();
    return (await this.#local.removeLeftovers?.(recorded)) ?? { removed: [], found: [] };
  }
}

function notFound(name: string): EngineError {
  return new EngineError("not_found", `error looking up volume plugin ${name}: plugin "${name}" not found`, {
    hint: name.includes("/")
      ? "plugins that `docker plugin install` manages are not built; one that listens on a socket is used by its name"
      : "its socket, .spec or .json file has to be in one of the daemon's plugin directories",
  });
}
