/**
 * Mounts whose files have other owners in the container than on the disk: `uidMappings` and `gidMappings` of a mount,
 * its options `idmap` and `ridmap`, mount_setattr(2), "ID-mapped mounts". The kernel takes the mapping from a user
 * namespace, which whoever spawns the plan has made.
 */
import { MOUNT_ATTR_IDMAP } from "../../../ffi/constants/mount.ts";
import { type MountOptions, parseMountOptions } from "../../../ffi/mount-options.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import type { Ref } from "../../../ffi/plan/values.ts";
import type { LinuxIdMapping, OciLinux, OciMount, RuntimeConfig } from "../../oci/runtime.ts";
import { setAttributes } from "./attributes.ts";
import { invalid } from "./emit.ts";

/** `containerID` is the number on the disk, `hostID` what the host sees through the mount. */
export interface IdMappings {
  uids: readonly LinuxIdMapping[];
  gids: readonly LinuxIdMapping[];
}

/** "container": the user namespace that the container joins. */
type Wanted = IdMappings | "container";

/** A user namespace that a plan takes as a descriptor. */
export interface MappingNamespace {
  name: string;
  mappings: IdMappings;
}

/** The user namespaces that have to be made for the mounts of a configuration, each once, as descriptors of its plan. */
export function mappingNamespaces(config: RuntimeConfig, rootIsMapped = false): MappingNamespace[] {
  const namespaces = new Map<string, MappingNamespace>();
  for (const mappings of wantedMappings(config, rootIsMapped)) {
    if (mappings === "container") continue;
    const key = keyOf(mappings);
    if (!namespaces.has(key)) namespaces.set(key, { name: `mapping.${namespaces.size}`, mappings });
  }
  return [...namespaces.values()];
}

/** @throws EngineError invalid_argument for what cannot be mapped. */
function wantedMappings({ linux = {}, mounts = [] }: RuntimeConfig, rootIsMapped: boolean): Wanted[] {
  const wanted = mounts.flatMap((mount, index) => {
    const options = parseMountOptions(mount.type, mount.options ?? []);
    return mappingsOf(mount, options, `mounts[${index}]`, linux) ?? [];
  });
  return rootIsMapped ? [...wanted, containerMappings(linux, "root")] : wanted;
}

/** Where the mounts are whose owners are mapped. */
export function mappedMounts({ linux = {}, mounts = [] }: RuntimeConfig): string[] {
  return mounts.flatMap((mount, index) => {
    const mappings = mappingsOf(mount, parseMountOptions(mount.type, mount.options ?? []), `mounts[${index}]`, linux);
    return mappings === undefined ? [] : mount.destination;
  });
}

function keyOf({ uids, gids }: IdMappings): string {
  const text = (list: readonly LinuxIdMapping[]) =>
    list.map((map) => [map.containerID, map.hostID, map.size].join(" "));
  return JSON.stringify([text(uids), text(gids)]);
}

/** The object of the call that maps a mount. */
export function ownersOf(source: string): string {
  return `owners of ${source}`;
}

/** Who needs which user namespace: the descriptors' names, as `mappingNamespaces` gives them. */
export class Mappings {
  readonly #config: RuntimeConfig;
  readonly #names: ReadonlyMap<string, string>;
  /** Whether anything is mapped. */
  readonly exist: boolean;

  constructor(config: RuntimeConfig, rootIsMapped = false) {
    this.#config = config;
    this.exist = wantedMappings(config, rootIsMapped).length > 0;
    this.#names = new Map(mappingNamespaces(config, rootIsMapped).map(({ name, mappings }) => [keyOf(mappings), name]));
  }

  /** Maps a mount that is attached nowhere yet, if it is to be mapped. */
  mapMount(
    plan: PlanBuilder,
    tree: Ref,
    { config, options, field }: { config: OciMount; options: MountOptions; field: string },
    source: string,
  ): void {
    const mappings = mappingsOf(config, options, field, this.#config.linux ?? {});
    if (mappings === undefined) return;
    this.#map(plan, tree, mappings, options.idMap?.recursive ?? false, source);
  }

  /** The host's user and group that own what the container's root owns. */
  get rootOwner(): { uid: number; gid: number } {
    const { uidMappings = [], gidMappings = [] } = this.#config.linux ?? {};
    const owner = (list: readonly LinuxIdMapping[]) => list.find(({ containerID }) => containerID === 0)?.hostID;
    const [uid, gid] = [owner(uidMappings), owner(gidMappings)];
    if (uid === undefined || gid === undefined) {
      throw invalid("linux.uidMappings", "a root file system with mapped owners needs user and group 0");
    }
    return { uid, gid };
  }

  /** Maps the mount that the layers of the root are in. */
  mapRoot(plan: PlanBuilder, tree: Ref, directory: string): void {
    this.#map(plan, tree, containerMappings(this.#config.linux ?? {}, "root"), false, directory);
  }

  #map(plan: PlanBuilder, tree: Ref, mappings: Wanted, recursive: boolean, source: string): void {
    const name = mappings === "container" ? "namespace.user" : this.#names.get(keyOf(mappings))!;
    const change = { set: MOUNT_ATTR_IDMAP, userNamespace: plan.descriptor(name), recursive };
    setAttributes(plan, tree, change, { what: ownersOf(source) });
  }
}

/** @returns undefined for a mount that is not mapped. */
function mappingsOf(
  { uidMappings = [], gidMappings = [] }: OciMount,
  { bind, remount, idMap }: MountOptions,
  field: string,
  linux: OciLinux,
): Wanted | undefined {
  const isExplicit = uidMappings.length + gidMappings.length > 0;
  if (!isExplicit && idMap === undefined) return undefined;
  if (!bind || remount) throw invalid(field, "id-mapped mounts are only supported for bind-mounts");
  const text = idMap?.text;
  if (isExplicit && text !== undefined) throw invalid(`${field}.options`, "idmap has mappings beside uidMappings");
  if (text !== undefined) return parseMappings(text, `${field}.options`, linux);
  if (!isExplicit) return containerMappings(linux, field);
  if (uidMappings.length === 0 || gidMappings.length === 0) {
    throw invalid(field, "id-mapped mounts must have both uid and gid mappings specified");
  }
  return { uids: uidMappings, gids: gidMappings };
}

/** What `idmap` means by itself. */
function containerMappings(linux: OciLinux, field: string): Wanted {
  const user = linux.namespaces?.find(({ type }) => type === "user");
  if (user === undefined) {
    throw invalid(field, "idmap needs uidMappings and gidMappings in a container without a user namespace");
  }
  return user.path ? "container" : { uids: linux.uidMappings ?? [], gids: linux.gidMappings ?? [] };
}

/** crun's `uids=0-100000-10#10-5-1;gids=…`: number on the disk, number on the host (after `@`: in the container), count. */
function parseMappings(text: string, field: string, linux: OciLinux): IdMappings {
  const wrong = (part: string) => invalid(field, `idmap=${text}: ${JSON.stringify(part)} is no mapping of owners`);
  const parsed: Record<string, LinuxIdMapping[]> = {};
  for (const part of text.split(";").filter((each) => each !== "")) {
    const [, kind, list] = /^(uids|gids)=(.+)$/.exec(part) ?? [];
    if (kind === undefined || list === undefined) throw wrong(part);
    const known = (kind === "uids" ? linux.uidMappings : linux.gidMappings) ?? [];
    parsed[kind] = list.split("#").map((range) => {
      const numbers = /^(@?)(\d{1,10})-(\d{1,10})-(\d{1,10})$/.exec(range);
      if (numbers === null) throw wrong(range);
      const [containerID, hostID, size] = numbers.slice(2).map(Number) as [number, number, number];
      if (Math.max(containerID + size, hostID + size) > 2 ** 32 || size === 0) throw wrong(range);
      if (numbers[1] === "") return { containerID, hostID, size };
      const inContainer = known.find((map) => hostID >= map.containerID && hostID < map.containerID + map.size);
      if (inContainer === undefined) throw wrong(range);
      return { containerID, hostID: inContainer.hostID + hostID - inContainer.containerID, size };
    });
  }
  const { uids, gids } = parsed;
  if (uids === undefined || gids === undefined) throw wrong(text);
  return { uids, gids };
}
