/**
 * /dev/shm of containers that share it: `--ipc shareable` has a tmpfs of its own on the host for as long as it runs,
 * which containers that join its IPC namespace bind.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID } from "../../../ffi/constants/mount.ts";
import { AT_FDCWD } from "../../../ffi/constants/open.ts";
import { fsconfig, fsmount, fsopen, move_mount } from "../../../ffi/mount.ts";
import type { BundleMount } from "../../bundle/input.ts";
import { namesIn } from "../../core/directory.ts";
import { EngineError, wrapError } from "../../core/errors.ts";
import type { Container } from "../container/container.ts";
import type { EngineContext } from "../context.ts";
import { toHost } from "../userns/mapping.ts";
import { discardPlace } from "./places.ts";

const target = "/dev/shm";
const mode = "container:";

/** Before the container starts. Nothing is left when it fails. */
export function makeSharedMemory({ layout }: EngineContext, container: Container): void {
  if (!isShareable(container)) return;
  const { hostConfig, userNamespace } = container.definition;
  const directory = join(layout.sharedMemory, container.id);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    using context = fsopen("tmpfs");
    fsconfig(context, "source", "shm");
    fsconfig(context, "mode", "1777");
    fsconfig(context, "size", String(hostConfig.ShmSize));
    if (userNamespace !== undefined) {
      fsconfig(context, "uid", String(toHost(userNamespace.uids, 0) ?? 0));
      fsconfig(context, "gid", String(toHost(userNamespace.gids, 0) ?? 0));
    }
    using tmpfs = fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    move_mount(tmpfs, AT_FDCWD, directory);
  } catch (error) {
    discardPlace(directory);
    throw wrapError(error, `mount shared memory on ${directory}`, { stage: "mount" });
  }
}

/** The container has ended; whoever has joined it keeps the memory. */
export function removeSharedMemory({ layout }: EngineContext, container: Container): void {
  if (isShareable(container) && namesIn(layout.sharedMemory).includes(container.id)) {
    discardPlace(join(layout.sharedMemory, container.id));
  }
}

/** When the daemon starts: of containers that have ended meanwhile. @param running ids. */
export function sweepSharedMemory(directory: string, running: ReadonlySet<string>): void {
  for (const id of namesIn(directory)) {
    if (!running.has(id)) discardPlace(join(directory, id));
  }
}

/** Of its own, or of the container that it joins. @throws EngineError conflict when that one does not share its own. */
export function sharedMemoryMounts(context: EngineContext, container: Container): BundleMount[] {
  if (hasOwnMount(container)) return [];
  const source = isShareable(container)
    ? join(context.layout.sharedMemory, container.id)
    : joinedMemory(context, container);
  return source === undefined ? [] : [{ destination: target, source }];
}

function joinedMemory(context: EngineContext, { definition }: Container): string | undefined {
  const { IpcMode = "" } = definition.hostConfig;
  if (!IpcMode.startsWith(mode)) return undefined;
  const other = context.containers.find(IpcMode.slice(mode.length));
  if (other.definition.hostConfig.IpcMode === "host") return target;
  if (isShareable(other) && !hasOwnMount(other)) return join(context.layout.sharedMemory, other.id);
  const further = joinedMemory(context, other);
  if (further !== undefined) return further;
  throw new EngineError(
    "conflict",
    `can't join IPC of container ${other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    { stage: "mount" },
  );
}

function isShareable(container: Container): boolean {
  return container.definition.hostConfig.IpcMode === "shareable" && !hasOwnMount(container);
}

function hasOwnMount({ definition }: Container): boolean {
  return definition.mounts.some(({ Destination }) => Destination === target);
}
