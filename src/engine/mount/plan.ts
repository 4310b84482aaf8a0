/** Which mounts a container asks for: HostConfig.Mounts, Binds and Tmpfs, and the volumes of its config, in one list. */
import type { ContainerConfig, HostConfig, Mount } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import { parseBind, parseTarget, parseVolumeName } from "../../volume/bind-spec.ts";
import { isLocalPath } from "../../volume/subpath.ts";
import { idMapping, type MountIdMapping } from "./id-mapping.ts";

interface Common {
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
  /** Of the volume only what is there: relative, and inside it as it is written. */
  subpath?: string;
  idMapping?: MountIdMapping;
}

export interface PlannedTmpfs extends Common {
  kind: "tmpfs";
  /** As in HostConfig.Tmpfs: `size=64m,mode=1777`. */
  options: string;
}

/** The files of another image, never to be written to. */
export interface PlannedImage extends Common {
  kind: "image";
  /** As it was given: a name, a digest, an id. */
  reference: string;
  subpath?: string;
}

export type PlannedMount = PlannedBind | PlannedVolume | PlannedTmpfs | PlannedImage;

/**
 * @param config already merged with the image's: a volume that the image declares gives way to any other mount there.
 * @throws EngineError invalid_argument in docker's words.
 */
export function planMounts(config: ContainerConfig, hostConfig: HostConfig): PlannedMount[] {
  const planned: PlannedMount[] = [
    ...(hostConfig.Mounts ?? []).map(planMount),
    ...(hostConfig.Binds ?? []).map((text) => planBind(text, hostConfig)),
  ];
  const taken = new Set(Object.keys(hostConfig.Tmpfs ?? {}).map(parseTarget));
  for (const { target } of planned) {
    if (taken.has(target)) throw new EngineError("invalid_argument", `Duplicate mount point: ${target}`);
    taken.add(target);
  }
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
      ...driverOf(hostConfig.VolumeDriver),
    });
  }
  return planned;
}

function driverOf(name: string | undefined): Pick<PlannedVolume, "driver"> {
  return name ? { driver: name } : {};
}

function planBind(text: string, { VolumeDriver }: HostConfig): PlannedMount {
  const { source, target, readOnly, noCopy, idMapped, propagation, mode } = parseBind(text);
  const mapping = idMapped ? { idMapping: { kind: "either" } as const } : {};
  if (source?.kind !== "path") {
    const named = source === undefined ? {} : { name: source.name };
    // Docker's own default for a named volume in the short syntax.
    return {
      kind: "volume",
      target,
      readOnly,
      noCopy,
      mode: mode === "" ? "z" : mode,
      labels: {},
      ...named,
      ...driverOf(VolumeDriver),
      ...mapping,
    };
  }
  return {
    kind: "bind",
    source: source.path,
    target,
    readOnly,
    mode,
    propagation,
    createSource: true,
    nonRecursive: false,
    readOnlyNonRecursive: false,
    readOnlyForceRecursive: false,
    ...mapping,
  };
}

function planMount(mount: Mount): PlannedMount {
  const type = mount.Type ?? "";
  const invalid = (reason: string) =>
    new EngineError("invalid_argument", `invalid mount config for type "${type}": ${reason}`);
  if (!mount.Target) throw invalid("field Target must not be empty");
  const common = { target: parseTarget(mount.Target), readOnly: mount.ReadOnly ?? false, mode: "" };
  const foreign = {
    bind: "BindOptions",
    volume: "VolumeOptions",
    image: "ImageOptions",
    tmpfs: "TmpfsOptions",
  } as const;
  for (const [kind, field] of Object.entries(foreign)) {
    if (kind !== type && mount[field] !== undefined && Object.keys(mount[field]).length > 0) {
      throw invalid(`field ${field} must not be specified`);
    }
  }
  switch (type) {
    case "bind":
      return planBindMount(mount, common, invalid);
    case "volume":
      if (mount.VolumeOptions?.Subpath && !mount.Source) {
        throw invalid("must not set Subpath when using anonymous volumes");
      }
      return {
        kind: "volume",
        ...common,
        ...(mount.Source && { name: parseVolumeName(mount.Source) }),
        labels: mount.VolumeOptions?.Labels ?? {},
        noCopy: mount.VolumeOptions?.NoCopy ?? false,
        ...driverOf(mount.VolumeOptions?.DriverConfig?.Name),
        ...(mount.VolumeOptions?.DriverConfig?.Options && { options: mount.VolumeOptions.DriverConfig.Options }),
        ...subpathOf(mount.VolumeOptions, invalid),
      };
    case "image":
      if (!mount.Source) throw invalid("field Source must not be empty");
      return {
        kind: "image",
        ...common,
        readOnly: true,
        reference: mount.Source,
        ...subpathOf(mount.ImageOptions, invalid),
      };
    case "tmpfs":
      if (mount.Source) throw invalid("field Source must not be specified");
      return { kind: "tmpfs", ...common, options: tmpfsOptions(mount) };
    default:
      throw new EngineError("invalid_argument", `mount type unknown: "${type}"`);
  }
}

function planBindMount(mount: Mount, common: Common, invalid: (reason: string) => EngineError): PlannedBind {
  const source = mount.Source ?? "";
  if (source === "") throw invalid("field Source must not be empty");
  if (!source.startsWith("/")) throw invalid(`invalid mount path: '${source}' mount path must be absolute`);
  const options = mount.BindOptions ?? {};
  const propagation = options.Propagation || "rprivate";
  if (!/^r?(private|shared|slave)$/.test(propagation)) throw invalid(`invalid propagation mode: ${propagation}`);
  const { ReadOnlyNonRecursive = false, ReadOnlyForceRecursive = false } = options;
  if (ReadOnlyNonRecursive && ReadOnlyForceRecursive) {
    throw invalid("ReadOnlyNonRecursive and ReadOnlyForceRecursive conflict");
  }
  if (!common.readOnly && (ReadOnlyNonRecursive || ReadOnlyForceRecursive)) {
    throw invalid("mount must be read-only for ReadOnlyNonRecursive and ReadOnlyForceRecursive");
  }
  return {
    kind: "bind",
    source,
    ...common,
    propagation,
    createSource: options.CreateMountpoint ?? false,
    nonRecursive: options.NonRecursive ?? false,
    readOnlyNonRecursive: ReadOnlyNonRecursive,
    readOnlyForceRecursive: ReadOnlyForceRecursive,
    ...idMapping(options.IDMapping, invalid),
  };
}

function subpathOf(
  options: { Subpath?: string } | undefined,
  invalid: (reason: string) => EngineError,
): { subpath?: string } {
  const { Subpath = "" } = options ?? {};
  if (Subpath === "") return {};
  if (!isLocalPath(Subpath)) throw invalid("subpath must be a relative path within the volume");
  return { subpath: Subpath };
}

function tmpfsOptions(mount: Mount): string {
  const { SizeBytes, Mode } = mount.TmpfsOptions ?? {};
  return [
    ...(mount.ReadOnly ? ["ro"] : []),
    ...(SizeBytes ? [`size=${SizeBytes}`] : []),
    ...(Mode ? [`mode=${Mode.toString(8)}`] : []),
  ].join(",");
}
