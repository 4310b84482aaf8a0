/**
 * Volumes as the engine has them: the records, the drivers, and who uses which. What containers use follows from the
 * containers' records, and who has one mounted from which containers run: no count is kept that a crash could leave
 * wrong.
 */
import { advice } from "../../core/advice.ts";
import { EngineError, errorMessage, wrapError } from "../../core/errors.ts";
import { newId } from "../../core/id.ts";
import { KeyedLock } from "../../core/lock.ts";
import { log } from "../../core/log.ts";
import type { FilledVolume } from "../../volume/copy-up.ts";
import type { DriverVolume, VolumeDriver } from "../../volume/driver.ts";
import type { VolumeDrivers } from "../../volume/drivers.ts";
import type { Volume, VolumeStore } from "../../volume/volumes.ts";
import type { EventBus } from "../event/bus.ts";
import { VolumeUsers } from "./users.ts";

export interface VolumeRequest {
  /** "" is local's. */
  driver?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
  /** The container that it is for. */
  user?: string;
}

/** A volume with what its driver says of it. */
export interface VolumeDetails extends Volume {
  /** Where its files are, or will be when it is mounted; "" where the driver does not say. */
  mountpoint: string;
  scope: "local" | "global";
  status?: Record<string, unknown>;
}

interface Parts {
  store: VolumeStore;
  drivers: VolumeDrivers;
  events: EventBus;
}

export class VolumeService {
  readonly drivers: VolumeDrivers;
  /** Containers, running or not, by the names of their volumes. */
  readonly users = new VolumeUsers();
  readonly #store: VolumeStore;
  readonly #events: EventBus;
  readonly #locks = new KeyedLock();
  readonly #filling = new KeyedLock();
  /** Directories by who has them mounted, by the volume's name. */
  readonly #mounted = new Map<string, Map<string, string>>();
  /** Who waits until nobody has a volume mounted. */
  readonly #waiting = new Map<string, (() => void)[]>();
  /** Anonymous volumes that were made and whose container is not stored yet. */
  readonly #unstored = new Map<string, Volume>();

  constructor({ store, drivers, events }: Parts) {
    this.drivers = drivers;
    this.#store = store;
    this.#events = events;
  }

  /**
   * The volume of that name, made when there is none: as in Docker whatever its options and labels are then. Without a
   * name it is a new, anonymous one, on record as one to be removed until the caller says otherwise (`insert`) in the
   * transaction that stores its container: a crash in between leaves a volume that the next start removes.
   * @returns whether it was made now: then the caller may undo it, with `removeUnused`, or `discard` an anonymous one.
   * @throws EngineError conflict when another driver has a volume of that name; not_found for a driver that is not
   * there.
   */
  async ensure(
    name: string | undefined,
    request: VolumeRequest = {},
  ): Promise<{ volume: VolumeDetails; created: boolean }> {
    const actual = name ?? newId();
    return this.#locks.run(actual, async () => {
      try {
        return name === undefined ? await this.#make(actual, request, true) : await this.#ensureNamed(name, request);
      } catch (error) {
        throw wrapError(error, `create ${actual}`, { stage: "volume" });
      }
    });
  }

  /** From now on anonymous volumes that were made are there to stay. In the caller's transaction. */
  insert(volumes: readonly Volume[]): void {
    for (const volume of volumes) {
      this.#store.spare(volume.name);
      this.#unstored.delete(volume.name);
    }
  }

  /** To be called when the records of anonymous volumes are durable. */
  announce(volumes: readonly Volume[]): void {
    for (const volume of volumes) this.#publish("create", volume);
  }

  /** Undoes an anonymous volume whose container could not be stored. */
  async discard({ name, driver }: Volume): Promise<void> {
    this.#unstored.delete(name);
    await this.drivers.known(driver).remove(name);
    this.#store.delete(name);
  }

  /** The record alone; undefined for a volume that only a plugin knows. */
  record(name: string): Volume | undefined {
    return this.#store.get(name) ?? this.#unstored.get(name);
  }

  records(): Volume[] {
    return this.#store.list().filter(({ name }) => !this.#unstored.has(name));
  }

  /** @throws EngineError not_found in docker's words; the driver's. */
  async get(name: string): Promise<VolumeDetails> {
    const found = await this.#lookUp(name);
    if (found === undefined)
      throw new EngineError("not_found", `get ${name}: no such volume`, { hint: advice.noVolume });
    return found;
  }

  /** All that the drivers know. Of one that does not answer those that are on record, and a warning. */
  async list(): Promise<{ volumes: VolumeDetails[]; warnings: string[] }> {
    const warnings: string[] = [];
    const lists = (await this.drivers.all()).map(async (driver) => {
      try {
        return { driver, found: await driver.list() };
      } catch (error) {
        warnings.push(`list ${driver.name}: ${errorMessage(error)}`);
        const recorded = this.records().filter((record) => record.driver === driver.name);
        return { driver, found: recorded.map(({ name }) => ({ name, mountpoint: "" })) };
      }
    });
    const volumes = (await Promise.all(lists)).flatMap(({ driver, found }) =>
      found
        .filter(({ name }) => !this.#unstored.has(name))
        .map(({ name, ...known }) => this.#detailsOf(name, driver, known)),
    );
    return { volumes, warnings };
  }

  /** Those of the local driver: no plugin is asked. */
  async listLocal(): Promise<VolumeDetails[]> {
    const driver = this.drivers.known("local");
    const found = (await driver.list()).filter(({ name }) => !this.#unstored.has(name));
    return found.map(({ name, ...known }) => this.#detailsOf(name, driver, known));
  }

  /** The ids of the containers that have it among their mounts. */
  inUse(name: string): string[] {
    return this.users.of(name);
  }

  /**
   * @throws EngineError conflict in docker's words while a container has it; not_found, unless it is forced; the
   * driver's: then it stays.
   */
  async remove(name: string, { force }: { force: boolean }): Promise<void> {
    const isRemoved = await this.#whenReleased(name, async () => {
      const users = this.inUse(name);
      if (users.length > 0) {
        throw new EngineError("conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`, {
          hint: advice.volumeUsed,
        });
      }
      try {
        const volume = await this.#lookUp(name);
        if (volume !== undefined) await this.#remove(volume);
        return volume !== undefined;
      } finally {
        // As in Docker: what a plugin cannot remove, or has not, is known no more.
        if (force && this.#driverName(name) !== "local") this.#store.delete(name);
      }
    });
    if (!isRemoved && !force)
      throw new EngineError("not_found", `get ${name}: no such volume`, { hint: advice.noVolume });
  }

  /**
   * Removes a volume that only this container still has, if any.
   * @returns false when it stays because others have it, or is gone.
   */
  removeUnused(name: string, besides: string): Promise<boolean> {
    return this.#whenReleased(name, async () => {
      const volume = this.record(name);
      if (volume === undefined) return false;
      if (this.users.others(name, besides)) {
        this.#store.spare(name);
        return false;
      }
      await this.#remove(volume);
      return true;
    });
  }

  /**
   * Makes the volume's files accessible, if they are not, for as long as this user does not release it. A second call
   * for the same user is none.
   * @returns the directory that they are in.
   * @throws EngineError not_found; the driver's.
   */
  acquire(name: string, userId: string): Promise<string> {
    return this.#hold(name, userId, async () => (await this.#driverOf(name)).mount(name, userId));
  }

  /** As `acquire`, for a user who has it from an earlier daemon. */
  restore(name: string, userId: string): Promise<string> {
    const driver = this.drivers.known(this.#driverName(name));
    return this.#hold(name, userId, () => (driver.restore ?? driver.mount).call(driver, name, userId));
  }

  /** He has it no more, also when the driver fails. @returns false when this user did not have it. */
  release(name: string, userId: string): Promise<boolean> {
    return this.#locks.run(name, async () => {
      const holders = this.#mounted.get(name);
      if (!holders?.has(userId)) return false;
      try {
        await this.drivers.known(this.#driverName(name)).unmount(name, userId);
        return true;
      } catch (error) {
        throw wrapError(error, `unmount volume ${name}`, { stage: "volume" });
      } finally {
        holders.delete(userId);
        if (holders.size === 0) {
          this.#mounted.delete(name);
          this.#wake(name);
        }
      }
    });
  }

  /**
   * Puts on record that volumes go with this container, for `removeUnused` and, after a crash, the next start. In the
   * transaction that deletes the container.
   */
  doom(names: readonly string[], containerId: string): void {
    this.#store.doom(names.filter((name) => !this.users.others(name, containerId)));
  }

  /** Has a mounted volume filled, by one at a time. @param work is told what `FilledVolume` says. */
  fill<T>(name: string, path: string, work: (volume: FilledVolume) => Promise<T>): Promise<T> {
    const staging = this.drivers.known(this.#driverName(name)).staging?.(name) ?? path;
    return this.#filling.run(name, () => work({ name, path, staging }));
  }

  /** When the daemon starts and all have what they have. @returns what had no record and was removed. */
  async removeLeftovers(): Promise<string[]> {
    for (const name of this.#store.doomed()) {
      const removed = this.#removeDoomed(name).catch((error: unknown) => {
        log("error", "could not remove a removed container's volume", { volume: name, error: errorMessage(error) });
      });
      // A plugin may take its time.
      if (this.#driverName(name) === "local") await removed;
    }
    const { removed, found } = await this.drivers.removeLeftovers(new Set(this.records().map(({ name }) => name)));
    for (const { name, createdAt } of found) {
      this.#store.insert([{ name, driver: "local", options: null, labels: {}, createdAt, anonymous: false }]);
      log("warn", "found a volume that was not on record: what is in it is kept", { volume: name });
    }
    return removed;
  }

  async #removeDoomed(name: string): Promise<void> {
    if (this.#driverName(name) === "local" || (await this.#find(name)) !== undefined) {
      await this.removeUnused(name, "");
    } else if (this.inUse(name).length === 0) this.#store.delete(name);
  }

  /** With Docker's attributes. */
  publishMount(volume: Pick<Volume, "name" | "driver">, attributes: Record<string, string>): void {
    this.#publish("mount", volume, attributes);
  }

  publishUnmount(volume: Pick<Volume, "name" | "driver">, attributes: Record<string, string>): void {
    this.#publish("unmount", volume, attributes);
  }

  async #ensureNamed(name: string, request: VolumeRequest): Promise<{ volume: VolumeDetails; created: boolean }> {
    const existing = await this.#find(name, request.driver);
    if (existing === undefined) {
      this.#forgetStale(name, request.user);
      const made = await this.#make(name, request, false);
      this.#store.insert([recordOf(made.volume)]);
      this.#publish("create", made.volume);
      return made;
    }
    if (request.driver && request.driver !== existing.driver) {
      throw new EngineError(
        "conflict",
        `driver '${existing.driver}' already has volume '${name}': volume name must be unique`,
      );
    }
    warnOfOthers(existing, request);
    // One that a plugin has by itself is used from now on.
    if (this.record(name) === undefined) this.#store.insert([recordOf(existing)]);
    return { volume: existing, created: false };
  }

  /** A record whose volume somebody removed in the driver itself. @throws EngineError conflict in docker's words. */
  #forgetStale(name: string, user = ""): void {
    const record = this.record(name);
    if (record === undefined) return;
    if (this.users.others(name, user)) {
      throw new EngineError(
        "conflict",
        `found references to volume '${name}' in driver '${record.driver}' but the volume was not found in the driver ` +
          "-- you may need to remove containers referencing this volume or force remove the volume to re-create it: " +
          "volume name must be unique",
      );
    }
    this.#store.delete(name);
  }

  async #make(name: string, request: VolumeRequest, anonymous: boolean) {
    const { driver: driverName = "", options = {}, labels = {} } = request;
    const driver = await this.drivers.find(driverName || "local");
    const record: Volume = {
      name,
      driver: driver.name,
      options: Object.keys(options).length > 0 ? options : null,
      labels,
      createdAt: new Date().toISOString(),
      anonymous,
    };
    if (anonymous) {
      // A plugin keeps what it has made for ever if nobody remembers it; of the local driver the directory is found.
      this.#store.insertDoomed(record, { isDurable: driver.removeLeftovers === undefined });
      this.#unstored.set(name, record);
    }
    try {
      await driver.create(name, options);
      const known = (await driver.get(name)) ?? { mountpoint: "" };
      return { volume: { ...record, ...detailsOf(driver, known) }, created: true };
    } catch (error) {
      this.#unstored.delete(name);
      if (anonymous) this.#forgetUnmade(driver, name);
      throw error;
    }
  }

  /** It may be there or not, and the plugin may be away: nobody waits for that, and the next daemon tries again. */
  #forgetUnmade(driver: VolumeDriver, name: string): void {
    const forgotten = this.#locks.run(name, async () => {
      if ((await driver.get(name)) !== undefined) await driver.remove(name);
      this.#store.delete(name);
    });
    forgotten.catch((error: unknown) => {
      log("warn", "could not take back a volume that could not be made", { volume: name, error: errorMessage(error) });
    });
  }

  async #lookUp(name: string): Promise<VolumeDetails | undefined> {
    try {
      return await this.#find(name);
    } catch (error) {
      throw wrapError(error, `get ${name}`, { stage: "volume" });
    }
  }

  /** By its record; else, where no driver is asked for or that one, as one that a plugin knows by itself. */
  async #find(name: string, driverName = ""): Promise<VolumeDetails | undefined> {
    // Its container's record is not written: nobody may take it away before.
    if (this.#unstored.has(name)) return undefined;
    const record = this.record(name);
    const asked = record?.driver ?? driverName;
    if (asked !== "") {
      const driver = await this.drivers.find(asked);
      const known = await driver.get(name);
      return known && this.#detailsOf(name, driver, known);
    }
    const probed = (await this.drivers.all()).map(async (driver) => {
      const known = await this.#probe(driver, name);
      return known && this.#detailsOf(name, driver, known);
    });
    return (await Promise.all(probed)).find((volume) => volume !== undefined);
  }

  /** Nobody said that this driver has it: what it cannot answer is no reason not to go on. */
  async #probe(driver: VolumeDriver, name: string): Promise<DriverVolume | undefined> {
    try {
      return await (driver.probe ?? driver.get).call(driver, name);
    } catch (error) {
      log("warn", "a volume driver does not answer", { driver: driver.name, volume: name, error: errorMessage(error) });
      return undefined;
    }
  }

  #detailsOf(name: string, driver: VolumeDriver, known: DriverVolume): VolumeDetails {
    const record = this.record(name);
    const own = record?.driver === driver.name ? record : undefined;
    return {
      name,
      driver: driver.name,
      options: own?.options ?? null,
      labels: own?.labels ?? {},
      createdAt: known.createdAt ?? own?.createdAt ?? "",
      anonymous: own?.anonymous ?? false,
      ...detailsOf(driver, known),
    };
  }

  /** Under the volume's lock. */
  async #remove(volume: Volume): Promise<void> {
    const { name } = volume;
    const recorded = this.record(name);
    try {
      const driver = await this.drivers.find(volume.driver);
      // What a crash leaves of its files is no volume any more: the next start goes on. A plugin has it, or has it not.
      const goesBitByBit = recorded !== undefined && driver.removeLeftovers !== undefined;
      if (goesBitByBit) this.#store.doom([name]);
      try {
        await driver.remove(name);
      } catch (error) {
        if (goesBitByBit) this.#store.spare(name);
        throw error;
      }
      if (recorded !== undefined) this.#store.delete(name);
    } catch (error) {
      throw wrapError(error, `remove ${name}`, { stage: "volume" });
    }
    this.#publish("destroy", volume);
  }

  #hold(name: string, userId: string, mount: () => Promise<string>): Promise<string> {
    return this.#locks.run(name, async () => {
      const holders = this.#mounted.get(name) ?? new Map<string, string>();
      const held = holders.get(userId);
      if (held !== undefined) return held;
      try {
        const directory = await mount();
        holders.set(userId, directory);
        this.#mounted.set(name, holders);
        return directory;
      } catch (error) {
        throw wrapError(error, `error while mounting volume '${name}'`, { stage: "volume" });
      }
    });
  }

  /**
   * Works under the volume's lock, when nobody has it mounted who has it no longer: a container that is removed with
   * its end is gone before all that it held is released.
   */
  async #whenReleased<T>(name: string, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const isBeingReleased = () => this.#mounted.has(name) && this.inUse(name).length === 0;
      if (isBeingReleased()) {
        await new Promise<void>((resolve) => this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), resolve]));
      }
      const done = await this.#locks.run(name, async () => (isBeingReleased() ? undefined : { result: await work() }));
      if (done !== undefined) return done.result;
    }
  }

  #driverName(volume: string): string {
    return this.record(volume)?.driver ?? "local";
  }

  #driverOf(volume: string): Promise<VolumeDriver> {
    return this.drivers.find(this.#driverName(volume));
  }

  #wake(name: string): void {
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.delete(name);
    for (const resolve of waiting) resolve();
  }

  #publish(action: string, { name, driver }: Pick<Volume, "name" | "driver">, attributes = {}): void {
    this.#events.publish("volume", action, name, { driver, ...attributes });
  }
}

/** As in Docker the volume stays as it is; whoever wonders why it is not as he asked for finds a line in the log. */
function warnOfOthers(existing: Volume, { options = {}, labels = {} }: VolumeRequest): void {
  const asked = { options, labels };
  const there = { options: existing.options ?? {}, labels: existing.labels };
  for (const field of ["options", "labels"] as const) {
    if (Object.keys(asked[field]).length === 0 || Bun.deepEquals(asked[field], there[field])) continue;
    const names = Object.keys({ ...asked[field], ...there[field] });
    const others = names.filter((name) => asked[field][name] !== there[field][name]).join(", ");
    log("warn", `a volume is there with other ${field} than were asked for`, {
      volume: existing.name,
      [field]: others,
    });
  }
}

function detailsOf({ scope }: VolumeDriver, { mountpoint, status }: DriverVolume) {
  return { mountpoint, scope, ...(status && { status }) };
}

function recordOf({ name, driver, options, labels, createdAt, anonymous }: Volume): Volume {
  return { name, driver, options, labels, createdAt, anonymous };
}
