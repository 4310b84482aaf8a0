/** From the mounts that were asked for to mounts that exist: volumes are made and filled, sources checked. */
import { chownSync } from "node:fs";
import { O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { isDirectory, statx } from "../../../ffi/stat.ts";
import type { Cleanup } from "../../core/cleanup.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { type CopiedOwners, copyUp, type FilledVolume, imageHas } from "../../volume/copy-up.ts";
import { openSubpath, reachSubpath } from "../../volume/subpath.ts";
import type { Volume } from "../../volume/volumes.ts";
import type { ContainerMount } from "../container/definition.ts";
import { toHost, type UserNamespace } from "../userns/mapping.ts";
import type { VolumeDetails, VolumeService } from "../volume/volumes.ts";
import { checkBindSource } from "./bind-sources.ts";
import { holdImage, type ImageHolder, realizeImage } from "./image-mount.ts";
import type { PlannedBind, PlannedInherited, PlannedMount, PlannedVolume } from "./plan.ts";

export interface RealizedMounts {
  mounts: ContainerMount[];
  /** Anonymous volumes without a row yet: for the transaction that stores the container. */
  unstored: Volume[];
}

interface Context {
  containerId: string;
  volumes: VolumeService;
  images: ImageHolder;
  cleanup: Cleanup;
  /** The image's directories, topmost first: what empty volumes are filled from. */
  lower: readonly string[];
  /** Absent: the host's. */
  userNamespace: UserNamespace | undefined;
}

/** Every volume that is made here is undone by the cleanup, unless somebody else uses it by then. */
export async function realizeMounts(planned: readonly PlannedMount[], context: Context): Promise<RealizedMounts> {
  const realized: RealizedMounts = { mounts: [], unstored: [] };
  for (const mount of planned) {
    switch (mount.kind) {
      case "tmpfs":
        realized.mounts.push(describeTmpfs(mount));
        break;
      case "bind":
        if (!mount.createSource) await checkBindSource(mount.source);
        realized.mounts.push(describeBind(mount));
        break;
      case "volume":
        realized.mounts.push(await realizeVolume(mount, context, realized));
        break;
      case "inherited":
        realized.mounts.push(inheritMount(mount, context));
        break;
      case "image":
        realized.mounts.push(await realizeImage(context.images, context.containerId, mount));
        break;
    }
  }
  return realized;
}

async function realizeVolume(
  mount: PlannedVolume,
  context: Context,
  realized: RealizedMounts,
): Promise<ContainerMount> {
  const { userNamespace } = context;
  const { volume, created } = await ensureVolume(mount, context, realized);
  const mapping = mount.idMapping ?? (userNamespace?.mapsVolumes ? ({ kind: "container" } as const) : undefined);
  const owners = mapping === undefined && userNamespace !== undefined ? hostOwners(userNamespace) : undefined;
  await fillVolume(volume, { mount, created, owners }, context);
  return {
    Type: "volume",
    Name: volume.name,
    Source: volume.mountpoint,
    Destination: mount.target,
    Driver: volume.driver,
    // Docker's own default for what is asked for by name, or in HostConfig.
    Mode: mount.mode === "" && volume.driver === "local" && !mount.declared ? "z" : mount.mode,
    RW: !mount.readOnly,
    Propagation: "",
    ...(volume.anonymous && { anonymous: true }),
    ...(mount.subpath !== undefined && { subpath: mount.subpath }),
    ...(mapping !== undefined && { idMapping: mapping }),
  };
}

/** Its volume or image is there for as long as the other container is, and from now on for as long as this one. */
function inheritMount(
  { from, mode, readOnly }: PlannedInherited,
  { volumes, images, cleanup, containerId, userNamespace }: Context,
): ContainerMount {
  const mount: ContainerMount = { ...from, Mode: mode, RW: !readOnly };
  const { Type, Name: name, image } = from;
  if (image !== undefined) holdImage(images, containerId, image);
  if (Type !== "volume" || name === undefined) return mount;
  volumes.users.add(name, containerId);
  cleanup.add(`give up volume ${name}`, () => volumes.users.delete(name, containerId));
  // The other one may have been removed since it was asked, and its anonymous volumes with it.
  if (volumes.record(name) === undefined) throw new EngineError("conflict", `volume ${name} is being removed`);
  // Whether its owners are mapped by the namespace follows from the namespace, which is another one here.
  if (from.idMapping?.kind === "container") delete mount.idMapping;
  if (from.idMapping?.kind !== "either" && userNamespace?.mapsVolumes) mount.idMapping = { kind: "container" };
  return mount;
}

async function ensureVolume(
  mount: PlannedVolume,
  { volumes, cleanup, containerId }: Context,
  realized: RealizedMounts,
): Promise<{ volume: VolumeDetails; created: boolean }> {
  const { name, driver, options, labels } = mount;
  const request = { labels, user: containerId, ...(driver && { driver }), ...(options && { options }) };
  if (name === undefined) {
    const made = await volumes.ensure(undefined, request);
    realized.unstored.push(made.volume);
    cleanup.add(`discard volume ${made.volume.name}`, () => volumes.discard(made.volume));
    return made;
  }
  volumes.users.add(name, containerId);
  cleanup.add(`give up volume ${name}`, () => volumes.users.delete(name, containerId));
  const ensured = await volumes.ensure(name, request);
  // Others may have known a plugin's volume before it was made here: it stays, as in Docker.
  if (ensured.created && ensured.volume.driver === "local") {
    cleanup.add(`remove volume ${name}`, () => volumes.removeUnused(name, containerId));
  }
  return ensured;
}

/** What the image has at the target goes into an empty volume. */
async function fillVolume(
  { name, driver, options }: Volume,
  { mount, created, owners }: { mount: PlannedVolume; created: boolean; owners: CopiedOwners | undefined },
  { volumes, containerId, lower }: Context,
): Promise<void> {
  const isGivenAway = created && owners !== undefined;
  if (mount.noCopy && !isGivenAway) return;
  // As in Docker: what is mounted by somebody else is not for nothing.
  const isPlain = driver === "local" && options === null;
  if (!isGivenAway && !isPlain && !imageHas(lower, mount.target)) return;
  const path = await volumes.acquire(name, containerId);
  try {
    if (isGivenAway) chownSync(path, owners.uid(0), owners.gid(0));
    if (mount.noCopy) return;
    await volumes.fill(name, path, (volume) =>
      mount.subpath === undefined
        ? copyUp(volume, lower, mount.target, owners)
        : fillPart(volume, mount.subpath, (part) => copyUp(part, lower, mount.target, owners)),
    );
  } finally {
    await volumes.release(name, containerId);
  }
}

/** Not if it is no directory. What cannot be found is for the start to say, by when it may be there. */
async function fillPart(
  { name, path }: FilledVolume,
  subpath: string,
  fill: (part: FilledVolume) => Promise<boolean>,
): Promise<boolean> {
  using root = open(path, O_PATH | O_DIRECTORY);
  let found: Fd;
  try {
    await reachSubpath(root, subpath, "volume");
    found = openSubpath(root, subpath, { kind: "volume", shown: path });
  } catch (error) {
    if (isEngineError(error, "not_found") || isEngineError(error, "invalid_argument")) return false;
    throw error;
  }
  using part = found;
  if (!isDirectory(statx(part))) return false;
  const itself = `/proc/self/fd/${part.number}`;
  return await fill({ name, path: itself, staging: itself });
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
