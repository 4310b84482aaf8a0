/** `tsd bundle`: an image as a directory that any OCI runtime runs. */
import { chmod, mkdir, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AuthConfig } from "../../api/schema/image.ts";
import { lookupUser } from "../../bundle/users.ts";
import { type Cleanup, withCleanup } from "../../core/cleanup.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { formatExactJson } from "../../core/exact-json.ts";
import type { Image } from "../../image/image.ts";
import { mergeImageConfig } from "../container/image-config.ts";
import type { EngineContext } from "../context.ts";

export interface BundleRequest {
  image: string;
  /** Absolute; it does not exist yet, or is empty. */
  directory: string;
  platform?: string;
  pull: "missing" | "always" | "never";
  /** For the pull. */
  auth?: AuthConfig;
}

/** @throws EngineError conflict when there is something in the directory; whatever was written is removed again. */
export async function writeBundle(
  context: EngineContext,
  image: Image,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await withCleanup(`bundle ${directory}`, (cleanup) => fill(context, image, directory, signal, cleanup));
  } catch (error) {
    throw wrapError(error, `write bundle ${directory}`, { stage: "bundle" });
  }
}

async function fill(
  context: EngineContext,
  image: Image,
  directory: string,
  signal: AbortSignal,
  cleanup: Cleanup,
): Promise<void> {
  const made = await makeDirectory(directory);
  if (made) cleanup.add(`remove ${directory}`, () => rmdir(directory));
  const rootfs = join(directory, "rootfs");
  cleanup.add(`remove ${rootfs}`, () => rm(rootfs, { recursive: true, force: true }));
  await mkdir(rootfs, { mode: 0o755 });
  await context.images.unpack(image, rootfs, signal);
  const config = join(directory, "config.json");
  cleanup.add(`remove ${config}`, () => rm(config, { force: true }));
  const user = lookupUser([rootfs], image.config.config?.User ?? "");
  const runtimeConfig = context.bundles.imageConfig(mergeImageConfig({}, image.config.config ?? {}), user);
  await writeFile(config, `${formatExactJson(runtimeConfig, 2)}\n`);
}

/** @returns whether it was made now. */
async function makeDirectory(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o711 });
    await chmod(directory, 0o711);
    return true;
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  if ((await readdir(directory)).length > 0) {
    throw new EngineError("conflict", "the directory is not empty", { path: directory });
  }
  return false;
}
