/** The service that the API's volume routes call. */
import type { Filters } from "../../api/schema/filters.ts";
import type { VolumesPruneResponse } from "../../api/schema/prune.ts";
import type { VolumeCreateRequest, VolumeInspect, VolumeListResponse } from "../../api/schema/volume.ts";
import { withCleanup } from "../../core/cleanup.ts";
import type { EngineContext } from "../context.ts";
import { ownUsage } from "../storage/own-usage.ts";
import { attemptPrune, PruneLock, pruneFilter } from "../storage/pruning.ts";
import { filterVolumes } from "./filter.ts";
import { anonymousLabel, labelsOf, volumeView } from "./view.ts";
import type { VolumeDetails } from "./volumes.ts";

export class VolumeManagement {
  readonly #context: EngineContext;
  readonly #pruning = new PruneLock();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async list(filters: Filters): Promise<VolumeListResponse> {
    const service = this.#context.volumes;
    const { volumes, warnings } = await service.list();
    const isUsed = ({ name }: VolumeDetails) => service.inUse(name).length > 0;
    return { Volumes: filterVolumes(volumes, filters, isUsed).map(volumeView), Warnings: warnings };
  }

  async inspect(name: string): Promise<VolumeInspect> {
    const volume = await this.#context.volumes.get(name);
    return { ...volumeView(volume), ...(volume.status && { Status: volume.status }) };
  }

  async create({ Name, Driver, DriverOpts, Labels }: VolumeCreateRequest): Promise<VolumeInspect> {
    const { volumes } = this.#context;
    const { volume } = await volumes.ensure(Name || undefined, {
      ...(Driver && { driver: Driver }),
      ...(DriverOpts && { options: DriverOpts }),
      ...(Labels && { labels: Labels }),
    });
    if (!Name) await this.#store(volume);
    return volumeView(volume);
  }

  async remove(name: string, options: { force: boolean }): Promise<void> {
    await this.#context.volumes.remove(name, options);
  }

  /** One that cannot be removed stays, with a line in the log, and does not keep the others. */
  prune(filters: Filters, { all }: { all: boolean }): Promise<VolumesPruneResponse> {
    return this.#pruning.run("volumes", async () => {
      const { volumes, events } = this.#context;
      const matches = pruneFilter(filters);
      const deleted: string[] = [];
      let reclaimed = 0;
      for (const { name, driver, options, createdAt, ...volume } of volumes.records()) {
        const labels = labelsOf(volume);
        // As in Docker: what a volume with options keeps may be somewhere else, and somebody else's.
        const isOwn = driver === "local" && options === null;
        const isWanted = (all || Object.hasOwn(labels, anonymousLabel)) && matches({ createdAt, labels });
        if (!isOwn || !isWanted || volumes.inUse(name).length > 0) continue;
        const bytes = await attemptPrune(`volume ${name}`, async () => {
          const { mountpoint } = await volumes.get(name);
          const usage = await ownUsage(mountpoint);
          await volumes.remove(name, { force: false });
          return usage.bytes;
        });
        if (bytes === undefined) continue;
        deleted.push(name);
        reclaimed += bytes;
      }
      events.publish("volume", "prune", "", { reclaimed: String(reclaimed) });
      return { VolumesDeleted: deleted, SpaceReclaimed: reclaimed };
    });
  }

  /** Of an anonymous volume there is no record before somebody writes it. */
  async #store(volume: VolumeDetails): Promise<void> {
    const { volumes } = this.#context;
    await withCleanup(`volume ${volume.name}`, async (cleanup) => {
      cleanup.add("remove its files", () => volumes.discard(volume));
      volumes.insert([volume]);
    });
    volumes.announce([volume]);
  }
}
