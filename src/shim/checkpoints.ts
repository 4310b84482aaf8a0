/** Checkpoints of the shim's container: loaded when one is made or restored. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { wrapError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { checkpointContainer } from "../runtime/checkpoint.ts";
import type { CriuSettings } from "../runtime/criu/settings.ts";
import type { ContainerStdio, RunningContainer } from "../runtime/options.ts";
import { restoreContainer } from "../runtime/restore.ts";
import type { CheckpointPlace, ShimContainer } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";
import { mountRootfs, unmountRootfs } from "./rootfs.ts";

/** As containerd asks runc for dockerd: what a container leads outside is the daemon's to care for. */
function settingsOf({ images, work }: CheckpointPlace): CriuSettings {
  return {
    imagePath: images,
    workPath: work,
    tcpEstablished: true,
    extUnixSk: true,
    shellJob: false,
    fileLocks: true,
    autoDedup: false,
    lazyPages: false,
  };
}

/**
 * Images that are not all there have a name of their own: what has the right one is whole. The directory may be that of
 * several containers.
 */
function unfinished(images: string, id: string): string {
  return join(dirname(images), `.${basename(images)}${unfinishedEnd(id)}`);
}

function unfinishedEnd(id: string): string {
  return `.${id.slice(0, 12)}.unfinished`;
}

/** What a shim that was killed has left of this container. */
function removeUnfinished(directory: string, id: string): void {
  for (const name of readdirSync(directory)) {
    if (name.endsWith(unfinishedEnd(id))) rmSync(join(directory, name), { recursive: true, force: true });
  }
}

/** @throws EngineError; nothing is left of the images then, unless they are all that is left of the container. */
export async function saveTo(
  place: CheckpointPlace & { leaveRunning: boolean },
  { id, runtimeRoot }: ShimContainer,
  reaper: Reaper,
): Promise<void> {
  const partial = unfinished(place.images, id);
  mkdirSync(dirname(partial), { recursive: true, mode: 0o700 });
  removeUnfinished(dirname(partial), id);
  mkdirSync(partial, { mode: 0o700 });
  try {
    await reaper.withForeignChildren(() =>
      checkpointContainer(runtimeRoot, id, {
        ...settingsOf({ ...place, images: partial }),
        leaveRunning: place.leaveRunning,
        preDump: false,
        linkRemap: false,
        tcpSkipInFlight: false,
        isRemovedByCaller: true,
        warn: (message) => log("warn", message),
      }),
    );
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
  try {
    renameSync(partial, place.images);
  } catch (error) {
    // Somebody else has taken the name, or the directory, meanwhile.
    if (place.leaveRunning) rmSync(partial, { recursive: true, force: true });
    else throw wrapError(error, `the container has ended, its checkpoint is left in ${partial}`, { path: partial });
    throw error;
  }
}

/**
 * criu takes a root that is a mount on the host: the container's overlay is one for as long as that takes.
 * @throws EngineError; nothing is left of the container then.
 */
export async function restoreFrom(
  place: CheckpointPlace,
  { id, bundle, runtimeRoot, rootfsMount }: ShimContainer,
  config: RuntimeConfig,
  stdio: ContainerStdio,
  reaper: Reaper,
): Promise<RunningContainer> {
  const path = config.root?.path ?? "rootfs";
  const rootfs = path.startsWith("/") ? path : join(bundle, path);
  if (!existsSync(rootfs)) mkdirSync(rootfs, { mode: 0o700 });
  if (rootfsMount !== undefined) mountRootfs(rootfs, rootfsMount);
  try {
    return await reaper.withForeignChildren(() =>
      restoreContainer({
        id,
        bundle,
        root: runtimeRoot,
        config,
        stdio,
        settings: settingsOf(place),
        warn: (message) => log("warn", message),
      }),
    );
  } finally {
    if (rootfsMount !== undefined) unmountRootfs(rootfs);
  }
}
