/** The file tree of a container, as whoever works on its files is led to it. */
import { existsSync, statSync } from "node:fs";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { parentNamespace } from "../../../ffi/namespace.ts";
import { statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { newId } from "../../core/id.ts";
import type { CopyRoot } from "../../image/copy/child.ts";
import { throwIfAborted } from "../../image/shared-work.ts";
import { type AssembledRoot, assembleRoot, enterMounts, rootDescriptors } from "../../runtime/assembled-root.ts";
import { bindMounts, etcMounts, joinedContainer } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import type { GoingCopy } from "../container/copies.ts";
import { startTicks } from "../container/start.ts";
import type { RunningState } from "../container/state.ts";
import type { EngineContext } from "../context.ts";
import { type MountSources, openMountSources, releaseMountSources } from "../mount/sources.ts";

/**
 * Works with the tree of a container: of one that runs as it sees it itself; of one that does not, root, volumes and
 * binds as at its start. That has to wait until what is written there is written.
 * @throws EngineError conflict when it is being removed; what `work` throws.
 */
export async function withTree<T>(
  context: EngineContext,
  container: Container,
  { access, signal }: { access: "read" | "write"; signal: AbortSignal },
  work: (root: CopyRoot, copy: GoingCopy) => Promise<T>,
): Promise<T> {
  return await container.copies.run(signal, async (copy) => {
    for (;;) {
      throwIfAborted(copy.signal);
      const { state } = container;
      if (state.status === "running") {
        using namespaces = openNamespaces(container, state);
        copy.isLive = namespaces !== undefined;
        if (namespaces !== undefined) return await work(liveTree(context, container, namespaces), copy);
        // It has ended, and the shim's word of it has not arrived yet.
        await nextExit(container, copy);
        continue;
      }
      const workStill = async () => {
        throwIfAborted(copy.signal);
        // A start came first.
        if (container.state.status === "running") return undefined;
        return { result: await withStillTree(context, container, access, (root) => work(root, copy)) };
      };
      const waits = access === "write" || !isStill(container);
      const done = await (waits ? context.locks.run(container.id, workStill) : workStill());
      if (done !== undefined) return done.result;
    }
  });
}

async function nextExit(container: Container, { signal }: GoingCopy): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  if (signal.aborted) aborted.resolve();
  signal.addEventListener("abort", () => aborted.resolve(), { once: true });
  await Promise.race([container.nextExit(signal), aborted.promise]);
}

/** Of a running container's first process. */
interface LiveNamespaces extends Disposable {
  mounts: Fd;
  /** Where they are not the host's. */
  users: Fd | undefined;
}

function liveTree(context: EngineContext, container: Container, { mounts, users }: LiveNamespaces): CopyRoot {
  return {
    enter: (plan) => enterMounts(plan, "mounts"),
    descriptors: { mounts, ...(users && { users }) },
    place: context.layout.container(container.id).rootfs,
  };
}

/** Undefined when the process has ended. */
function openNamespaces(
  { id, definition }: Container,
  { pid, pidStartTicks }: RunningState,
): LiveNamespaces | undefined {
  using opened = new DisposableStack();
  try {
    const mounts = opened.use(open(`/proc/${pid}/ns/mnt`, O_RDONLY));
    const present = opened.use(open(`/proc/${pid}/ns/user`, O_RDONLY));
    // Asked for when they are open: they are of this process and not of one that has its number now.
    if (startTicks(pid) !== pidStartTicks) return undefined;
    if (isOwn(mounts, "mnt")) {
      throw new EngineError("forbidden", `container ${id}: its first process has gone to the host's mounts`);
    }
    const users = definition.userNamespace && opened.use(usersOfContainer(present, id));
    const kept = opened.move();
    return { mounts, users, [Symbol.dispose]: () => kept.dispose() };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/**
 * The namespace that was made for the container, the daemon's own child: a process may have gone on from there into one
 * that it has made itself, never elsewhere. It is opened anew.
 */
function usersOfContainer(present: Fd, id: string): Fd {
  let at = open(`/proc/self/fd/${present.number}`, O_RDONLY);
  for (;;) {
    using here = at;
    if (isOwn(here, "user")) {
      throw new EngineError("forbidden", `container ${id}: its first process has the host's users`);
    }
    using above = parentNamespace(here);
    if (isOwn(above, "user")) return here.move();
    at = above.move();
  }
}

/** Is it the daemon's own? */
function isOwn(namespace: Fd, type: string): boolean {
  using own = open(`/proc/self/ns/${type}`, O_RDONLY);
  return statx(own).inode === statx(namespace).inode;
}

function isStill({ removed, state }: Container): boolean {
  return !removed && ["created", "exited", "restarting"].includes(state.status);
}

/** The caller holds the container's lock if it is going to write. */
async function withStillTree<T>(
  context: EngineContext,
  container: Container,
  access: "read" | "write",
  work: (root: CopyRoot) => Promise<T>,
): Promise<T> {
  if (!isStill(container)) {
    throw new EngineError("conflict", `container ${container.name} is being removed: its files cannot be copied`);
  }
  const holder = newId();
  using sources = await openMountSources(context, container, holder);
  try {
    const assembled = stillTree(context, container, sources, access);
    using _room = access === "write" ? context.snapshots.roomToMount(container.id) : undefined;
    using descriptors = rootDescriptors(assembled);
    return await work({
      enter: (plan) => assembleRoot(plan, assembled),
      descriptors: descriptors.byName,
      place: context.layout.container(container.id).rootfs,
    });
  } finally {
    await releaseMountSources(context, container, holder);
  }
}

function stillTree(
  context: EngineContext,
  container: Container,
  sources: MountSources,
  access: "read" | "write",
): AssembledRoot {
  const { id, definition } = container;
  const { hostConfig, config: containerConfig, userNamespace } = definition;
  const paths = context.layout.container(id);
  const etcPaths = context.layout.container(joinedContainer(context, container)?.id ?? id);
  // Without a user namespace of its own: everywhere files have the owners that they have on the disk.
  const etc = etcMounts(container, etcPaths).map(({ idMapping: _, ...mount }) => mount);
  const rootfsMount = context.snapshots.mounts(id);
  const layers = [rootfsMount.upper, ...rootfsMount.lower];
  const lookupUser = (name: string) => context.bundles.user(layers, name, hostConfig.GroupAdd ?? []);
  const mapping = {
    userNamespace,
    fromWithin: true,
    lookupUser,
    // Where it is needed: the container may name one that it does not have.
    get user() {
      return lookupUser(containerConfig.User ?? "");
    },
  };
  const config = {
    ociVersion: "1.2.0",
    root: { path: paths.rootfs, readonly: hostConfig.ReadonlyRootfs === true },
    mounts: context.bundles.mounts(hostConfig, [
      ...etc.filter(({ source }) => existsSync(source)),
      ...bindMounts(container, sources, mapping),
    ]),
  };
  const { mode, uid, gid } = statSync(rootfsMount.upper);
  const onlyReads = access === "read" ? { mode: mode & 0o7777, uid, gid } : undefined;
  return { config, bundle: paths.directory, rootfsMount, ...(onlyReads && { onlyReads }) };
}
