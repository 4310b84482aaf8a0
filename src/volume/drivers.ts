/** The drivers that there are: the local one, and those that are found when they are asked for. */
import { EngineError } from "../core/errors.ts";
import type { VolumeDriver } from "./driver.ts";

/** Drivers that come and go. */
export interface DriverSource {
  find(name: string): Promise<VolumeDriver | undefined>;
  /** Those that can be reached now. */
  list(): Promise<VolumeDriver[]>;
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
    throw new EngineError("not_found", `error looking up volume plugin ${name}: plugin "${name}" not found`);
  }

  /** All, the local one first. */
  async all(): Promise<VolumeDriver[]> {
    return [this.#local, ...((await this.#others?.list()) ?? [])];
  }
}
