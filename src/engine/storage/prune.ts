/** `prune`: removes images and containers that nobody uses, by Docker's filters. */
import type { Filters } from "../../api/schema/filters.ts";
import type { ImageDeleteItem } from "../../api/schema/image.ts";
import type { ContainersPruneResponse, ImagesPruneResponse } from "../../api/schema/prune.ts";
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { parseTimestamp } from "../../core/timestamp.ts";
import { removeContainer } from "../container/remove.ts";
import type { EngineContext } from "../context.ts";
import { filterImages } from "../image/filter.ts";
import { matchesLabels } from "../label-filter.ts";

/** What is being pruned now: two at once would only take each other's things. */
export class Pruner {
  readonly #context: EngineContext;
  readonly #running = new Set<string>();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /**
   * Removes images that no container has: those without a name, or with `dangling=false` all. One that cannot be
   * removed stays, with a line in the log, and does not keep the others.
   * @throws EngineError conflict in docker's words while another prune runs; invalid_argument for a filter.
   */
  images(filters: Filters): Promise<ImagesPruneResponse> {
    return this.#once("images", async () => {
      const { images, events } = this.#context;
      const { dangling, ...rest } = filters;
      const isAll = dangling?.some((value) => value === "false" || value === "0") ?? false;
      const candidates = filterImages(images.list(), rest, () => undefined).filter(
        ({ repoTags, repoDigests }) => isAll || repoTags.length + repoDigests.length === 0,
      );
      const deleted: ImageDeleteItem[] = [];
      let reclaimed = 0;
      for (const { id } of candidates) {
        const removed = await attempt(`image ${id}`, () => images.prune(id));
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
    return this.#once("containers", async () => {
      const { containers, snapshots, events } = this.#context;
      const bounds = (filters.until ?? []).map(instantMs);
      const candidates = containers
        .all()
        .filter(
          ({ active, createdAt, definition }) =>
            !active &&
            bounds.every((bound) => Date.parse(createdAt) < bound) &&
            matchesLabels(filters.label ?? [], definition.config.Labels ?? {}) &&
            (filters["label!"] ?? []).every((label) => !matchesLabels([label], definition.config.Labels ?? {})),
        );
      const deleted: string[] = [];
      let reclaimed = 0;
      for (const container of candidates) {
        const bytes = await attempt(`container ${container.id}`, async () => {
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

  async #once<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#running.has(what)) throw new EngineError("conflict", "a prune operation is already running");
    this.#running.add(what);
    try {
      return await work();
    } finally {
      this.#running.delete(what);
    }
  }
}

async function attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    // It was started, or removed by somebody else, since it was looked at.
    const isSettled = isEngineError(error, "conflict") || isEngineError(error, "not_found");
    log(isSettled ? "info" : "error", `could not prune ${what}`, { error: errorMessage(error) });
    return undefined;
  }
}

function instantMs(text: string): number {
  const seconds = parseTimestamp(text);
  if (seconds !== undefined) return Number(seconds) * 1000;
  throw new EngineError("invalid_argument", `invalid filter 'until=${text}': neither a time nor a duration`);
}
