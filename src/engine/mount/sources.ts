/** Where a container's mounts come from, for as long as it, or whoever works on its files, has them. */
import { O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { Cleanup } from "../../core/cleanup.ts";
import { reachSubpath } from "../../volume/subpath.ts";
import type { Container } from "../container/container.ts";
import type { ContainerMount } from "../container/definition.ts";
import type { EngineContext } from "../context.ts";
import { prepareBindSources } from "./bind-sources.ts";
import { placeMounts } from "./placed.ts";
import { checkPropagation } from "./propagation.ts";
import { relabelSources } from "./relabel.ts";
import { makeSharedMemory, removeSharedMemory } from "./shared-memory.ts";

export interface MountSources extends Disposable {
  /** The path that is to be bound: it may be one of a descriptor of this process, and means nothing after the disposal. */
  of(mount: ContainerMount): string;
}

/**
 * Mounts the container's volumes and makes the sources that are missing. What this made is to be undone with
 * `releaseMountSources`; if it fails nothing is left of it.
 * @param userId as whom volumes are held: somebody else than the container itself where it does not start.
 * @param userNamespace the container's own, whose owners mounted images get.
 */
export async function openMountSources(
  context: EngineContext,
  container: Container,
  userId: string = container.id,
  userNamespace?: Fd,
): Promise<MountSources> {
  const { definition } = container;
  const directories = new Map<string, string>();
  try {
    await prepareBindSources(definition);
    if (userId === container.id) {
      checkPropagation(definition.mounts, context.layout.root);
      makeSharedMemory(context, container);
    }
    for (const { Name, subpath } of volumeMounts(container)) {
      const directory = await context.volumes.acquire(Name, userId);
      directories.set(Name, directory);
      if (subpath !== undefined) await reachPart(directory, subpath);
    }
    using stack = new DisposableStack();
    const placed = stack.use(placeMounts(context, definition.mounts, { directories, userNamespace }));
    const of = (mount: ContainerMount) =>
      placed.get(mount) ?? (isVolume(mount) ? directories.get(mount.Name)! : mount.Source);
    if (userId === container.id) {
      await relabelSources(container, of);
      publishMounts(context, container);
    }
    const kept = stack.move();
    return { of, [Symbol.dispose]: () => kept.dispose() };
  } catch (error) {
    await releaseVolumes(context, container, userId, () => undefined).runAndLog();
    throw error;
  }
}

/** Lets go of the container's volumes and shared memory. All are released, whichever fails. */
export async function releaseMountSources(
  context: EngineContext,
  container: Container,
  userId: string = container.id,
): Promise<void> {
  const publish = (name: string) => {
    if (userId === container.id) publishUnmounts(context, container, name);
  };
  await releaseVolumes(context, container, userId, publish).run();
}

/** A daemon has come to know that a container of an earlier one runs. */
export async function restoreMountSources(context: EngineContext, container: Container): Promise<void> {
  for (const { Name } of volumeMounts(container)) await context.volumes.restore(Name, container.id);
}

/** @param released told of each volume that this user had. */
function releaseVolumes(
  context: EngineContext,
  container: Container,
  userId: string,
  released: (name: string) => void,
): Cleanup {
  const steps = new Cleanup(`container ${container.name}`);
  if (userId === container.id) steps.add("remove its shared memory", () => removeSharedMemory(context, container));
  for (const name of new Set(volumeMounts(container).map(({ Name }) => Name))) {
    steps.add(`release volume ${name}`, async () => {
      if (await context.volumes.release(name, userId)) released(name);
    });
  }
  return steps;
}

/** As in Docker one for each mount. */
function publishUnmounts({ volumes }: EngineContext, container: Container, name: string): void {
  for (const { Name, Driver = "local" } of volumeMounts(container)) {
    if (Name === name) volumes.publishUnmount({ name, driver: Driver }, { container: container.id });
  }
}

function publishMounts({ volumes }: EngineContext, container: Container): void {
  for (const { Name, Driver = "local", Destination, RW, Propagation } of volumeMounts(container)) {
    volumes.publishMount(
      { name: Name, driver: Driver },
      { container: container.id, destination: Destination, "read/write": String(RW), propagation: Propagation },
    );
  }
}

async function reachPart(directory: string, subpath: string): Promise<void> {
  using root = open(directory, O_PATH | O_DIRECTORY);
  await reachSubpath(root, subpath, "volume");
}

function volumeMounts({ definition }: Container): (ContainerMount & { Name: string })[] {
  return definition.mounts.filter(isVolume);
}

function isVolume(mount: ContainerMount): mount is ContainerMount & { Name: string } {
  return mount.Type === "volume" && mount.Name !== undefined;
}
