/** The service behind the routes that look after the disk: garbage collection, damage, usage. */
import type { CollectResponse, FsckMessage } from "../../api/schema/storage.ts";
import { log } from "../../core/log.ts";
import type { EngineContext } from "../context.ts";
import type { Collector } from "../image/collector.ts";
import { fsckMessages } from "./fsck-messages.ts";

export class StorageService {
  readonly #context: EngineContext;
  readonly #collector: Collector;

  constructor(context: EngineContext, collector: Collector) {
    this.#context = context;
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
}
