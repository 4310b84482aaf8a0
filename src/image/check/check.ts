/**
 * `tsd fsck`: compares what the records say with what lies on the disk. It may run beside a daemon's other work: it
 * reads, and what it finds on its way to somewhere it looks at twice.
 */

import type { Digest } from "../../core/digest.ts";
import { errorMessage } from "../../core/errors.ts";
import type { ImageStore } from "../images.ts";
import { checkHashes, checkLeftovers, checkMissing, type HashedContent } from "./content.ts";
import type { CheckEvent, CheckOptions, CheckSummary, Finding, ReportedFinding } from "./finding.ts";
import { checkDatabase, checkImages, checkIndex, checkLeases } from "./records.ts";
import { checkContainers, checkLayers, checkOrphans } from "./snapshots.ts";

const progressIntervalMs = 200;

/** @throws EngineError cancelled when the signal aborts. */
export async function* checkStore(store: ImageStore, options: CheckOptions): AsyncGenerator<CheckEvent, void, void> {
  const hashed: HashedContent = { blobs: 0, bytes: 0, damaged: new Set<Digest>() };
  const summary: CheckSummary = {
    blobs: 0,
    blobBytes: 0,
    layers: 0,
    images: 0,
    damage: 0,
    leftovers: 0,
    repaired: 0,
  };
  let toldAt = 0;
  for await (const found of findings(store, options, hashed)) {
    options.signal?.throwIfAborted();
    if ("totalBytes" in found) {
      if (performance.now() - toldAt < progressIntervalMs) continue;
      toldAt = performance.now();
      yield { step: "hashing", ...found };
      continue;
    }
    const finding = await report(found, options.repair);
    if (finding.severity === "damage") summary.damage++;
    if (finding.severity === "leftover") summary.leftovers++;
    if (finding.repaired !== undefined) summary.repaired++;
    yield { step: "finding", finding };
  }
  if (summary.repaired > 0) await store.publish();
  summary.blobs = hashed.blobs;
  summary.blobBytes = hashed.bytes;
  summary.layers = store.layers.all().length;
  summary.images = store.records.all().length;
  yield { step: "done", summary };
}

/** In this order a repair finds what it needs: the database first, content before the layers that are made of it. */
async function* findings(
  store: ImageStore,
  options: CheckOptions,
  hashed: HashedContent,
): AsyncGenerator<Finding | { bytes: number; totalBytes: number }> {
  yield* checkDatabase(store);
  // Before a repair changes what it ought to say; it is written anew in the end.
  yield* checkIndex(store);
  yield* checkHashes(store, options.signal, hashed);
  yield* checkMissing(store, hashed.damaged);
  yield* checkLayers(store);
  yield* checkContainers(store);
  yield* checkOrphans(store);
  yield* checkImages(store, hashed.damaged);
  yield* checkLeases(store);
  yield* checkLeftovers(store, hashed.damaged);
}

async function report({ repair, ...finding }: Finding, isRepairing: boolean): Promise<ReportedFinding> {
  if (!isRepairing || finding.severity === "notice") return finding;
  if (repair === undefined) return { ...finding, failed: "it cannot be put right from what is here" };
  try {
    return { ...finding, repaired: await repair() };
  } catch (error) {
    return { ...finding, failed: errorMessage(error) };
  }
}
