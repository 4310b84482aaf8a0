/** Which mounts a container asks for: HostConfig.Mounts, Binds and Tmpfs, and the volumes of its config, in one list. */
import type { ContainerConfig, HostConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import { parseBind, parseTarget } from "../../volume/bind-spec.ts";
import type { ContainerMount } from "../container/definition.ts";
import { checkRuntimeMaps, type MountIdMapping } from "./id-mapping.ts";
import { planMount } from "./plan-mount.ts";
import { settlePropagation } from "./propagation.ts";
import { planVolumesFrom } from "./volumes-from.ts";

export interface Common {
  target: string;
  readOnly: boolean;
  /** As inspect shows it. */
  mode: string;
}

export interface PlannedBind extends Common {
  kind: "bind";
  source: string;
  propagation: string;
  /** A source that is missing is made, a directory: what `-v` does and `--mount` does not. */
  createSource: boolean;
  nonRecursive: boolean;
  readOnlyNonRecursive: boolean;
  readOnlyForceRecursive: boolean;
  idMapping?: MountIdMapping;
}

export interface PlannedVolume extends Common {
  kind: "volume";
  /** Absent: a new anonymous one. */
  name?: string;
  /** Absent: local. */
  driver?: string;
  /** The driver's, for a volume that is new. */
  options?: Record<string, string>;
  labels: Record<string, string>;
  noCopy: boolean;
  /** By Config.Volumes alone. */
  declared?: boolean;
  /** Of the volume only what is there: relative, and inside it as it is written. */
  subpath?: string;
  idMapping?: MountIdMapping;
}

export interface PlannedTmpfs extends Common {
  kind: "tmpfs";
  /** As in HostConfig.Tmpfs: `size=64m,mode=1777`. */
  options: string;
}

/** What another container has mounted, by `--volumes-from`. */
export interface PlannedInherited extends Common {
  kind: "inherited";
  from: ContainerMount;
}

/** The files of another image, never to be written to. */
export interface PlannedImage extends Common {
  kind: "image";
  /** As it was given: a name, a digest, an id. */
  reference: string;
  subpath?: string;
}

export type PlannedMount = PlannedBind | PlannedVolume | PlannedTmpfs | PlannedImage | PlannedInherited;

export interface PlanSurroundings {
  /** The daemon's root: what is mounted below it has to be let go of by containers that bind it. */
  root: string;
  /** The mounts of another container. @throws EngineError invalid_argument when there is none of that name. */
  mountsOf: (reference: string) => readonly ContainerMount[];
}

/**
 * @param config already merged with the image's: a volume that the image declares gives way to any other mount there.
 * @throws EngineError invalid_argument in docker's words; unsupported for what the container's runtime cannot do.
 */
export function planMounts(
  config: ContainerConfig,
  hostConfig: HostConfig,
  { root, mountsOf }: PlanSurroundings,
): PlannedMount[] {
  const inherited = planVolumesFrom(hostConfig.VolumesFrom ?? [], mountsOf);
  const planned: PlannedMount[] = [
    ...(hostConfig.Mounts ?? []).map((mount) => planMount(mount, root)),
    ...(hostConfig.Binds ?? []).map((text) => planBind(text, hostConfig, root)),
  ];
  const taken = new Set(Object.keys(hostConfig.Tmpfs ?? {}).map(parseTarget));
  for (const { target } of planned) {
    if (taken.has(target)) throw new EngineError("invalid_argument", `Duplicate mount point: ${target}`);
    taken.add(target);
  }
  for (const mount of inherited) {
    if (taken.has(mount.target)) continue;
    taken.add(mount.target);
    planned.push(mount);
  }
  for (const mount of planned) checkRuntimeMaps(mount.target, mappingOf(mount), hostConfig.Runtime ?? "");
  for (const volume of Object.keys(config.Volumes ?? {})) {
    const target = parseTarget(volume);
    if (taken.has(target)) continue;
    taken.add(target);
    planned.push({
      kind: "volume",
      target,
      readOnly: false,
      mode: "",
      labels: {},
      noCopy: false,
      declared: true,
      ...driverOf(hostConfig.VolumeDriver),
    });
  }
  return planned;
}

function mappingOf(mount: PlannedMount): MountIdMapping | undefined {
  if (mount.kind === "inherited") return mount.from.idMapping;
  return mount.kind === "bind" || mount.kind === "volume" ? mount.idMapping : undefined;
}

export function driverOf(name: string | undefined): Pick<PlannedVolume, "driver"> {
  return name ? { driver: name } : {};
}

function planBind(text: string, { VolumeDriver }: HostConfig, root: string): PlannedMount {
  const { source, target, readOnly, noCopy, idMapped, propagation, mode } = parseBind(text);
  const common = { target, readOnly, mode, ...(idMapped && { idMapping: { kind: "either" } as const }) };
  if (source?.kind !== "path") {
    const named = source === undefined ? {} : { name: source.name };
    return { kind: "volume", ...common, noCopy, labels: {}, ...named, ...driverOf(VolumeDriver) };
  }
  return {
    kind: "bind",
    source: source.path,
    ...common,
    propagation: settlePropagation(propagation, source.path, root),
    createSource: true,
    nonRecursive: false,
    readOnlyNonRecursive: false,
    readOnlyForceRecursive: false,
  };
}
