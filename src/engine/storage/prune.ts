/** `prune`: removes images and containers that nobody uses, by Docker's filters. */
import type { Filters } from "../../api/schema/filters.ts";
import type { ImageDeleteItem } from "../../api/schema/image.ts";
import type { ContainersPruneResponse, ImagesPruneResponse } from "../../api/schema/prune.ts";
import { removeContainer } from "../container/remove.ts";
import type { EngineContext } from "../context.ts";
import { filterImages } from "../image/filter.ts";
import { attemptPrune, PruneLock, pruneFilter } from "./pruning.ts";

export class Pruner {
  readonly #context: EngineContext;
  readonly #lock = new PruneLock();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /**
   * Removes images that no container has: those without a name, or with `dangling=false` all. One that cannot be
   * removed stays, with a line in the log, and does not keep the others.
   * @throws EngineError conflict in docker's words while another prune runs; invalid_argument for a filter.
   */
  images(filters: Filters): Promise<ImagesPruneResponse> {
    return this.#lock.run("images", async () => {
      const { images, events } = this.#context;
      const { dangling, ...rest } = filters;
      const isAll = dangling?.some((value) => value === "false" || value === "0") ?? false;
      const candidates = filterImages(images.list(), rest, () => undefined).filter(
        ({ repoTags, repoDigests }) => isAll || repoTags.length + repoDigests.length === 0,
      );
      const deleted: ImageDeleteItem[] = [];
      let reclaimed = 0;
      for (const { id } of candidates) {
        const removed = await attemptPrune(`image ${id}`, () => images.prune(id));
        if (removed === undefined) continue;
        reclaimed += removed.bytes;
        for (const item of removed.results) {
          const [action, name] =
            "untagged" in item ? (["untag", item.untagged] as const) : (["delete", item.deleted] as const);
          events.publish("image", action, name, { name });
          deleted.push("untagged" in item ? { Untagged: item.untagged } : { Deleted: item.deleted });
        }
      }
      events.publish("image", "prune", "", { reclaimed: String(reclaimed) });
      return { ImagesDeleted: deleted, SpaceReclaimed: reclaimed };
    });
  }

  /** Removes containers that do not run. @throws EngineError conflict, invalid_argument. */
  containers(filters: Filters): Promise<ContainersPruneResponse> {
    return this.#lock.run("containers", async () => {
      const { containers, snapshots, events } = this.#context;
      const matches = pruneFilter(filters);
      const candidates = containers
        .all()
        .filter(
          ({ isUp, createdAt, definition }) => !isUp && matches({ createdAt, labels: definition.config.Labels ?? {} }),
        );
      const deleted: string[] = [];
      let reclaimed = 0;
      for (const container of candidates) {
        const bytes = await attemptPrune(`container ${container.id}`, async () => {
          const usage = await snapshots.usage(container.id);
          await removeContainer(this.#context, container, { force: false, volumes: false });
          return usage.bytes;
        });
        if (bytes === undefined) continue;
        deleted.push(container.id);
        reclaimed += bytes;
      }
      events.publish("container", "prune", "", { reclaimed: String(reclaimed) });
      return { ContainersDeleted: deleted, SpaceReclaimed: reclaimed };
    });
  }
}
