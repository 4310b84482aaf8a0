/** The long syntax of mounts, HostConfig.Mounts. */
import { normalize } from "node:path/posix";
import type { Mount } from "../../api/schema/container-config.ts";
import { checkTmpfsOptions } from "../../bundle/mounts.ts";
import { EngineError } from "../../core/errors.ts";
import { checkNul, targetOf } from "../../volume/bind-spec.ts";
import { isLocalPath } from "../../volume/subpath.ts";
import { idMapping } from "./id-mapping.ts";
import { type Common, driverOf, type PlannedBind, type PlannedMount, type PlannedVolume } from "./plan.ts";
import { settlePropagation } from "./propagation.ts";

type Invalid = (reason: string) => EngineError;

/**
 * @param root the daemon's.
 * @throws EngineError invalid_argument in docker's words.
 */
export function planMount(mount: Mount, root: string): PlannedMount {
  const type = mount.Type ?? "";
  const invalid: Invalid = (reason) =>
    new EngineError("invalid_argument", `invalid mount config for type "${type}": ${reason}`);
  if (!mount.Target) throw invalid("field Target must not be empty");
  const common = { target: targetOf(mount.Target, invalid), readOnly: mount.ReadOnly ?? false, mode: "" };
  const foreign = {
    bind: "BindOptions",
    volume: "VolumeOptions",
    image: "ImageOptions",
    tmpfs: "TmpfsOptions",
  } as const;
  for (const [kind, field] of Object.entries(foreign)) {
    if (kind !== type && mount[field] !== undefined) {
      throw invalid(`field ${field} must not be specified`);
    }
  }
  switch (type) {
    case "bind":
      return planBindMount(mount, { common, root, invalid });
    case "volume":
      return planVolumeMount(mount, common, invalid);
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
      return { kind: "tmpfs", ...common, options: tmpfsOptions(mount, invalid) };
    default:
      throw invalid("mount type unknown");
  }
}

function planVolumeMount(mount: Mount, common: Common, invalid: Invalid): PlannedVolume {
  const { Source, VolumeOptions = {} } = mount;
  if (!Source && mount.ReadOnly) throw invalid("must not set ReadOnly mode when using anonymous volumes");
  if (!Source && VolumeOptions.Subpath) throw invalid("must not set Subpath when using anonymous volumes");
  const { Name, Options } = VolumeOptions.DriverConfig ?? {};
  return {
    kind: "volume",
    ...common,
    ...(Source && { name: Source }),
    labels: VolumeOptions.Labels ?? {},
    noCopy: VolumeOptions.NoCopy ?? false,
    ...driverOf(Name),
    ...(Options && { options: Options }),
    ...subpathOf(VolumeOptions, invalid),
  };
}

function planBindMount(
  mount: Mount,
  { common, root, invalid }: { common: Common; root: string; invalid: Invalid },
): PlannedBind {
  const { Source: source = "", BindOptions: options = {} } = mount;
  if (source === "") throw invalid("field Source must not be empty");
  const { Propagation: wanted = "" } = options;
  if (!/^(r?(private|shared|slave))?$/.test(wanted)) throw invalid(`invalid propagation mode: ${wanted}`);
  if (!source.startsWith("/")) throw invalid(`invalid mount path: '${source}' mount path must be absolute`);
  checkNul(source, invalid);
  const propagation = settlePropagation(wanted, normalize(source), root);
  const { ReadOnlyNonRecursive = false, ReadOnlyForceRecursive = false } = options;
  if (ReadOnlyNonRecursive && ReadOnlyForceRecursive) {
    throw invalid("ReadOnlyNonRecursive and ReadOnlyForceRecursive conflict");
  }
  if (!common.readOnly && (ReadOnlyNonRecursive || ReadOnlyForceRecursive)) {
    throw invalid("mount must be read-only for ReadOnlyNonRecursive and ReadOnlyForceRecursive");
  }
  return {
    kind: "bind",
    source: source === "/" ? source : normalize(source).replace(/\/$/, ""),
    ...common,
    propagation,
    createSource: options.CreateMountpoint ?? false,
    nonRecursive: options.NonRecursive ?? false,
    readOnlyNonRecursive: ReadOnlyNonRecursive,
    readOnlyForceRecursive: ReadOnlyForceRecursive,
    ...idMapping(options.IDMapping, invalid),
  };
}

function subpathOf(options: { Subpath?: string } | undefined, invalid: Invalid): { subpath?: string } {
  const { Subpath = "" } = options ?? {};
  if (Subpath === "") return {};
  if (!isLocalPath(Subpath)) throw invalid("subpath must be a relative path within the volume");
  return { subpath: Subpath };
}

/** As HostConfig.Tmpfs has them; in which order and with which unit, as docker. */
function tmpfsOptions(mount: Mount, invalid: Invalid): string {
  const { SizeBytes, Mode, Options = [] } = mount.TmpfsOptions ?? {};
  const further = Options.map((words) => {
    if (words.length < 1 || words.length > 2) throw invalid("invalid option array length");
    return words.join("=");
  });
  const options = [
    ...(mount.ReadOnly ? ["ro"] : []),
    ...(Mode ? [`mode=${Mode.toString(8)}`] : []),
    ...(SizeBytes ? [`size=${withUnit(SizeBytes)}`] : []),
    ...further,
  ].join(",");
  checkTmpfsOptions(mount.Target ?? "", options);
  return options;
}

function withUnit(bytes: number): string {
  const units: [string, number][] = [
    ["g", 2 ** 30],
    ["m", 2 ** 20],
    ["k", 2 ** 10],
  ];
  const [unit, size] = units.find(([, divisor]) => bytes % divisor === 0) ?? ["", 1];
  return `${bytes / size}${unit}`;
}
