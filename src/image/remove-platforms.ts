/** `rmi --platform`: some platforms of an image go, and the others stay under its names. */
import type { Digest } from "../core/digest.ts";
import { EngineError } from "../core/errors.ts";
import { shortId } from "../core/id.ts";
import type { Platform } from "../oci/image.ts";
import { formatPlatform, normalise } from "../oci/platform.ts";
import type { ImageUser, RemoveResult } from "./image.ts";
import type { ImageStore } from "./images.ts";
import type { PlatformRow } from "./records.ts";

export interface RemovePlatformsOptions {
  platforms: readonly Platform[];
  force: boolean;
  /** The containers of one manifest of the image. */
  usersOf(id: Digest, row: { manifestDigest: Digest; platform: Platform }): ImageUser[];
}

/**
 * Removes all of these platforms, or none. What is left of the image keeps its names.
 * @throws EngineError not_found for a platform that is not here; conflict for one that a container uses, and for the
 * last ones: the image itself is to be removed then.
 */
export async function removePlatforms(
  store: ImageStore,
  text: string,
  options: RemovePlatformsOptions,
): Promise<RemoveResult[]> {
  return store.exclusively(async () => {
    const id = store.identify(text);
    const rows = store.records.platforms(id);
    const chosen = new Set(options.platforms.map((platform) => rowOf(rows, platform, text)));
    for (const row of chosen) checkUsers(row, options.usersOf(id, row), options.force);
    const kept = rows.filter((row) => !chosen.has(row));
    if (kept.length === 0) {
      throw new EngineError("conflict", `conflict: unable to delete all platforms of ${text} that are here`, {
        hint: `remove the image itself: rmi ${text}`,
      });
    }
    const needed = new Set(kept.flatMap((row) => blobsOf(store, row)));
    for (const row of chosen) {
      const own = blobsOf(store, row).filter((digest) => !needed.has(digest));
      await store.free(store.records.removePlatform(id, row, own));
    }
    await store.publish();
    return [...chosen].map(({ manifestDigest }) => ({ deleted: manifestDigest }));
  });
}

/** The platform to the letter: what could run in its place is not meant. */
function rowOf(rows: readonly PlatformRow[], wanted: Platform, image: string): PlatformRow {
  const shown = formatPlatform(normalise(wanted));
  const row = rows.find(({ platform }) => formatPlatform(normalise(platform)) === shown);
  if (row) return row;
  const available = rows.map(({ platform }) => formatPlatform(platform)).join(", ");
  throw new EngineError("not_found", `image ${image} has no platform ${shown} here: available: ${available || "none"}`);
}

function checkUsers({ manifestDigest }: PlatformRow, users: readonly ImageUser[], force: boolean): void {
  const running = users.find((user) => user.running);
  const user = running ?? (force ? undefined : users[0]);
  if (!user) return;
  const using = `image is being used by ${running ? "running" : "stopped"} container ${shortId(user.containerId)}`;
  const how = running ? "cannot be forced" : "must be forced";
  throw new EngineError("conflict", `conflict: unable to delete ${shortId(manifestDigest)} (${how}) - ${using}`);
}

function blobsOf(store: ImageStore, { manifestDigest }: PlatformRow): Digest[] {
  const documents = store.readable(manifestDigest);
  const { config, layers } = documents?.manifest ?? { config: undefined, layers: [] };
  return [manifestDigest, ...(config ? [config.digest] : []), ...layers.map(({ digest }) => digest)];
}
