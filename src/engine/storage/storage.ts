/** The service behind the routes that look after the disk: garbage collection, damage, usage. */
import type { CollectResponse } from "../../api/schema/storage.ts";
import type { Collector } from "../image/collector.ts";

export class StorageService {
  readonly #collector: Collector;

  constructor(collector: Collector) {
    this.#collector = collector;
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
}
