/** From the mounts that were asked for to mounts that exist: volumes are made and filled, sources checked. */
import { chownSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import type { Cleanup } from "../../core/cleanup.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { type CopiedOwners, copyUp } from "../../volume/copy-up.ts";
import type { Volume, VolumeStore } from "../../volume/volumes.ts";
import type { ContainerMount } from "../container/definition.ts";
import { toHost, type UserNamespace } from "../userns/mapping.ts";
import type { PlannedBind, PlannedMount, PlannedVolume } from "./plan.ts";
import type { VolumeUsers } from "./volume-users.ts";

export interface RealizedMounts {
  mounts: ContainerMount[];
  /** Anonymous volumes without a row yet: for the transaction that stores the container. */
  unstored: Volume[];
  /** Named volumes that did not exist before: for the events. */
  created: Volume[];
}

interface Context {
  containerId: string;
  volumes: VolumeStore;
  users: VolumeUsers;
  cleanup: Cleanup;
  /** The image's directories, topmost first: what empty volumes are filled from. */
  lower: readonly string[];
  /** Absent: the host's. */
  userNamespace: UserNamespace | undefined;
}

/** Every volume that is made here is undone by the cleanup, unless somebody else uses it by then. */
export async function realizeMounts(planned: readonly PlannedMount[], context: Context): Promise<RealizedMounts> {
  const realized: RealizedMounts = { mounts: [], unstored: [], created: [] };
  for (const mount of planned) {
    switch (mount.kind) {
      case "tmpfs":
        realized.mounts.push(describeTmpfs(mount));
        break;
      case "bind":
        if (!mount.createSource) await assertSource(mount);
        realized.mounts.push(describeBind(mount));
        break;
      case "volume":
        realized.mounts.push(await realizeVolume(mount, context, realized));
        break;
      case "image":
        throw new EngineError("unsupported", `mount ${mount.target}: mounts of type image are not built`);
    }
  }
  return realized;
}

/** The sources of binds in the short syntax come into being when the container starts, as directories. */
export async function makeBindSources(mounts: readonly ContainerMount[]): Promise<void> {
  for (const mount of mounts) {
    if (!mount.createSource) continue;
    try {
      await mkdir(mount.Source, { recursive: true, mode: 0o755 });
    } catch (error) {
      // A file or a socket is a source as good as a directory.
      if (isErrno(error, "EEXIST")) continue;
      throw wrapError(error, `make the bind source ${mount.Source}`, { stage: "mount" });
    }
  }
}

async function assertSource(mount: PlannedBind): Promise<void> {
  try {
    await stat(mount.source);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw wrapError(error, `bind source ${mount.source}`);
    throw new EngineError(
      "invalid_argument",
      `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`,
      { path: mount.source },
    );
  }
}

async function realizeVolume(
  mount: PlannedVolume,
  context: Context,
  realized: RealizedMounts,
): Promise<ContainerMount> {
  const { volumes, users, cleanup, containerId, userNamespace } = context;
  let volume: Volume;
  let isNew = true;
  if (mount.name === undefined) {
    volume = await volumes.makeAnonymous(mount.labels);
    realized.unstored.push(volume);
    cleanup.add(`discard volume ${volume.name}`, () => volumes.discard(volume.name));
  } else {
    const name = mount.name;
    users.add(name, containerId);
    cleanup.add(`release volume ${name}`, () => users.delete(name, containerId));
    const ensured = await volumes.ensure(name, mount.labels);
    volume = ensured.volume;
    isNew = ensured.created;
    if (ensured.created) {
      realized.created.push(volume);
      cleanup.add(`remove volume ${name}`, () => volumes.remove(name, () => users.others(name, containerId)));
    }
  }
  const mapping = mount.idMapping ?? (userNamespace?.mapsVolumes ? ({ kind: "container" } as const) : undefined);
  const owners = mapping === undefined && userNamespace !== undefined ? hostOwners(userNamespace) : undefined;
  if (isNew && owners !== undefined) chownSync(volume.path, owners.uid(0), owners.gid(0));
  if (!mount.noCopy) await copyUp(volume, context.lower, mount.target, owners);
  return {
    Type: "volume",
    Name: volume.name,
    Source: volume.path,
    Destination: mount.target,
    Driver: "local",
    Mode: mount.mode,
    RW: !mount.readOnly,
    Propagation: "",
    ...(volume.anonymous && { anonymous: true }),
    ...(mapping !== undefined && { idMapping: mapping }),
  };
}

/** As in Docker what belongs to the container's root belongs to a user of the host's beyond the container's reach. */
function hostOwners({ uids, gids }: UserNamespace): CopiedOwners {
  // What the container does not know would be nobody's in any case.
  return {
    uid: (id) => toHost(uids, id) ?? toHost(uids, 0) ?? id,
    gid: (id) => toHost(gids, id) ?? toHost(gids, 0) ?? id,
  };
}

function describeBind(mount: PlannedBind): ContainerMount {
  return {
    Type: "bind",
    Source: mount.source,
    Destination: mount.target,
    Mode: mount.mode,
    RW: !mount.readOnly,
    Propagation: mount.propagation,
    ...(mount.createSource && { createSource: true }),
    ...(mount.nonRecursive && { nonRecursive: true }),
    ...(mount.readOnlyNonRecursive && { readOnlyNonRecursive: true }),
    ...(mount.readOnlyForceRecursive && { readOnlyForceRecursive: true }),
    ...(mount.idMapping !== undefined && { idMapping: mount.idMapping }),
  };
}

function describeTmpfs(mount: Extract<PlannedMount, { kind: "tmpfs" }>): ContainerMount {
  return {
    Type: "tmpfs",
    Source: "",
    Destination: mount.target,
    Mode: mount.mode,
    RW: !mount.readOnly,
    Propagation: "",
    tmpfsOptions: mount.options,
  };
}
