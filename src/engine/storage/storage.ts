/** The service behind the routes that look after the disk: garbage collection, damage, usage. */
import type { DiskUsageKind, DiskUsageResponse, RootUsage } from "../../api/schema/disk-usage.ts";
import type { Filters } from "../../api/schema/filters.ts";
import type { ContainersPruneResponse, ImagesPruneResponse } from "../../api/schema/prune.ts";
import type { CollectResponse, FsckMessage } from "../../api/schema/storage.ts";
import { log } from "../../core/log.ts";
import type { ContainerService } from "../container/containers.ts";
import type { EngineContext } from "../context.ts";
import type { Collector } from "../image/collector.ts";
import { diskUsage } from "./disk-usage.ts";
import { fsckMessages } from "./fsck-messages.ts";
import { Pruner } from "./prune.ts";
import { measureRoot } from "./root-usage.ts";

export class StorageService {
  readonly #context: EngineContext;
  readonly #containers: ContainerService;
  readonly #collector: Collector;
  readonly #pruner: Pruner;

  constructor(context: EngineContext, containers: ContainerService, collector: Collector) {
    this.#context = context;
    this.#containers = containers;
    this.#collector = collector;
    this.#pruner = new Pruner(context);
  }

  async collect(options: { isDryRun: boolean }): Promise<CollectResponse> {
    const items = await this.#collector.collect(options.isDryRun);
    return {
      Items: items.map(({ kind, id, names, bytes, why, error }) => ({
        Kind: kind,
        ID: id,
        Names: names,
        Size: bytes,
        Reason: why,
        ...(error !== undefined && { Error: error }),
      })),
      SpaceReclaimed: items.reduce((sum, { bytes, error }) => sum + (error === undefined ? bytes : 0), 0),
    };
  }

  async *fsck(options: { repair: boolean }, signal: AbortSignal): AsyncGenerator<FsckMessage, void, void> {
    for await (const message of fsckMessages(this.#context.images.check({ ...options, signal }))) {
      const { Finding: finding } = message;
      if (finding?.Severity === "damage") {
        const { Kind: kind, Object: object, Message: found, Repaired: repaired, Failed: failed } = finding;
        log(repaired === undefined ? "error" : "warn", "damage was found", { kind, object, found, repaired, failed });
      }
      yield message;
    }
  }

  async diskUsage(kinds: readonly DiskUsageKind[]): Promise<DiskUsageResponse> {
    return diskUsage(this.#context, this.#containers, kinds);
  }

  async rootUsage(): Promise<RootUsage> {
    return measureRoot(this.#context);
  }

  async pruneImages(filters: Filters): Promise<ImagesPruneResponse> {
    return this.#pruner.images(filters);
  }

  async pruneContainers(filters: Filters): Promise<ContainersPruneResponse> {
    return this.#pruner.containers(filters);
  }
}
