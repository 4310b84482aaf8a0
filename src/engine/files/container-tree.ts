/** The file tree of a container, as whoever works on its files is led to it. */
import { existsSync, statSync } from "node:fs";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import type { CopyRoot } from "../../image/copy/copier.ts";
import { assembleRoot, enterMounts } from "../../runtime/assembled-root.ts";
import { bindMounts, etcMounts, joinedContainer } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import { startTicks } from "../container/start.ts";
import type { RunningState } from "../container/state.ts";
import type { EngineContext } from "../context.ts";
import { makeBindSources } from "../mount/realize.ts";

/**
 * Works with the tree of a container: of one that runs as it sees it itself; of one that does not, root, volumes and binds
 * as at its start. That has to wait until what is written there is written.
 * @throws EngineError conflict when it is being removed; what `work` throws.
 */
export async function withTree<T>(
  context: EngineContext,
  container: Container,
  { access, signal }: { access: "read" | "write"; signal: AbortSignal },
  work: (root: CopyRoot) => Promise<T>,
): Promise<T> {
  for (;;) {
    const { state } = container;
    if (state.status === "running") {
      using mounts = openMounts(container, state);
      if (mounts !== undefined) return await work(liveTree(context, container, mounts));
      // It has ended, and the shim's word of it has not arrived yet.
      await container.nextExit(signal);
      continue;
    }
    const workStill = async () => {
      // A start came first.
      if (container.state.status === "running") return undefined;
      return { result: await work(await stillTree(context, container, access)) };
    };
    const waits = access === "write" || !isStill(container);
    const done = await (waits ? context.locks.run(container.id, workStill) : workStill());
    if (done !== undefined) return done.result;
  }
}

function liveTree(context: EngineContext, container: Container, mounts: Fd): CopyRoot {
  return {
    enter: (plan) => enterMounts(plan, "mounts"),
    descriptors: { mounts },
    place: context.layout.container(container.id).rootfs,
  };
}

/** The mount namespace of its first process; undefined when that has ended. */
function openMounts({ id }: Container, { pid, pidStartTicks }: RunningState): Fd | undefined {
  let mounts: Fd;
  try {
    mounts = open(`/proc/${pid}/ns/mnt`, O_RDONLY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  try {
    // Asked for when it is open: it is of this process and not of one that has its number now.
    if (startTicks(pid) !== pidStartTicks) {
      mounts.close();
      return undefined;
    }
    using own = open("/proc/self/ns/mnt", O_RDONLY);
    if (statx(own).inode === statx(mounts).inode) {
      throw new EngineError("forbidden", `container ${id}: its first process has gone to the host's mounts`);
    }
    return mounts;
  } catch (error) {
    mounts.close();
    throw error;
  }
}

function isStill({ removed, state }: Container): boolean {
  return !removed && (state.status === "created" || state.status === "exited");
}

/** The caller holds the container's lock if it is going to write. */
async function stillTree(context: EngineContext, container: Container, access: "read" | "write"): Promise<CopyRoot> {
  const { id, definition } = container;
  if (!isStill(container)) {
    throw new EngineError("conflict", `container ${container.name} is being removed: its files cannot be copied`);
  }
  const { hostConfig } = definition;
  const paths = context.layout.container(id);
  const etcPaths = context.layout.container(joinedContainer(context, container)?.id ?? id);
  await makeBindSources(definition.mounts);
  const etc = etcMounts(container, etcPaths).filter(({ source }) => existsSync(source));
  const config = {
    ociVersion: "1.2.0",
    root: { path: paths.rootfs, readonly: hostConfig.ReadonlyRootfs === true },
    mounts: context.bundles.mounts(hostConfig, [...etc, ...bindMounts(container)]),
  };
  const rootfsMount = context.snapshots.mounts(id);
  const { mode, uid, gid } = statSync(rootfsMount.upper);
  const onlyReads = access === "read" ? { mode: mode & 0o7777, uid, gid } : undefined;
  const assembled = { config, bundle: paths.directory, rootfsMount, ...(onlyReads && { onlyReads }) };
  return {
    enter: (plan) => assembleRoot(plan, assembled),
    descriptors: {},
    place: paths.rootfs,
  };
}
