/** HostConfig.DeviceRequests, which is what `--gpus` and `--device vendor.com/class=name` come to, as CDI devices. */
import { parseCdiName } from "../../core/cdi-name.ts";
import { EngineError } from "../../core/errors.ts";
import type { BundleHostConfig } from "../input.ts";
import type { CdiCatalog, CdiDevice, CdiRegistry } from "./registry.ts";
import type { CdiEdits } from "./spec.ts";

type DeviceRequest = NonNullable<BundleHostConfig["DeviceRequests"]>[number];

/** Drivers of GPUs: the kind of their devices, and what may be asked of them. The first whose devices are there is asked. */
const gpuDrivers: { names: string[]; kind: string; capabilities: string[] }[] = [
  {
    names: ["nvidia", "nvidia.cdi"],
    kind: "nvidia.com/gpu",
    capabilities: ["gpu", "nvidia", "compute", "compat32", "graphics", "utility", "video", "display"],
  },
  { names: ["amd"], kind: "amd.com/gpu", capabilities: ["gpu", "amd"] },
];

/**
 * The edits of all devices that are asked for; those that a file has for all its devices come once.
 * @throws EngineError invalid_argument in docker's words.
 */
export function requestedEdits(requests: readonly DeviceRequest[], registry: CdiRegistry): CdiEdits[] {
  if (requests.length === 0) return [];
  const catalog = registry.read();
  return requests.flatMap((request) => {
    const names = request.Driver === "cdi" ? cdiNames(request) : gpuNames(request, catalog, registry.folders);
    return editsOf(resolve(names, catalog, registry.folders));
  });
}

function cdiNames({ Count = 0, Options = {}, DeviceIDs = [] }: DeviceRequest): string[] {
  if (Count !== 0) throw invalid("unexpected count in CDI device request");
  if (Object.keys(Options).length > 0) throw invalid("unexpected options in CDI device request");
  return DeviceIDs;
}

function gpuNames(request: DeviceRequest, catalog: CdiCatalog, folders: readonly string[]): string[] {
  const { Driver = "", Capabilities = [], Count = 0, DeviceIDs = [] } = request;
  const able = gpuDrivers.filter(({ names, capabilities }) => {
    if (Driver !== "" && !names.includes(Driver)) return false;
    return Capabilities.some((wanted) => wanted.every((capability) => capabilities.includes(capability)));
  });
  const devicesOf = (kind: string) => [...catalog.devices.keys()].filter((name) => name.startsWith(`${kind}=`));
  const chosen = able.find(({ kind }) => devicesOf(kind).length > 0);
  if (chosen === undefined) throw noDriver(request, able.length > 0, catalog, folders);
  if (Count !== 0 && DeviceIDs.length > 0) throw invalid("cannot set both Count and DeviceIDs on device request");
  const named = (id: string) => (id.includes("=") ? id : `${chosen.kind}=${id}`);
  if (DeviceIDs.length > 0) return DeviceIDs.map(named);
  if (Count >= 0) return firstNames(Count, catalog.devices.size).map(named);
  const all = named("all");
  return catalog.devices.has(all) ? [all] : devicesOf(chosen.kind);
}

/** `0`, `1`, … no more of them than it takes to say that there are not so many. */
function firstNames(count: number, there: number): string[] {
  return Array.from({ length: Math.min(count, there + 1) }, (_, index) => String(index));
}

function noDriver(
  { Driver = "", Capabilities = [] }: DeviceRequest,
  isKnown: boolean,
  catalog: CdiCatalog,
  folders: readonly string[],
): EngineError {
  const wanted = `[${Capabilities.map((names) => `[${names.join(" ")}]`).join(" ")}]`;
  const message = `could not select device driver ${JSON.stringify(Driver)} with capabilities: ${wanted}`;
  if (!isKnown) return invalid(message);
  const generate = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";
  return invalid(message, `${absence(catalog, folders)}; for NVIDIA's: ${generate}`);
}

function resolve(names: readonly string[], catalog: CdiCatalog, folders: readonly string[]): CdiDevice[] {
  const unknown = names.filter((name) => !catalog.devices.has(name));
  if (unknown.length === 0) return names.map((name) => catalog.devices.get(name)!);
  const kindOf = (name: string) => name.slice(0, name.indexOf("=") + 1);
  const kinds = new Set(unknown.filter((name) => parseCdiName(name) !== undefined).map(kindOf));
  const near = [...catalog.devices.keys()].filter((name) => kinds.has(kindOf(name)));
  const hint = near.length > 0 ? `There are: ${near.slice(0, 20).join(", ")}` : absence(catalog, folders);
  throw invalid(`CDI device injection failed: unresolvable CDI devices ${unknown.join(", ")}`, hint);
}

/** Why there may be no such device. */
function absence({ errors }: CdiCatalog, folders: readonly string[]): string {
  if (folders.length === 0) return "CDI is switched off by --cdi-spec-dir= of the daemon";
  const [first] = errors;
  if (first !== undefined) return `${first.path}: ${first.message}`;
  return `No CDI file in ${folders.join(" and ")} has such devices`;
}

function editsOf(devices: readonly CdiDevice[]): CdiEdits[] {
  const specs = new Set<CdiDevice["spec"]>();
  return devices.flatMap(({ spec, edits }) => {
    if (specs.has(spec)) return [edits];
    specs.add(spec);
    return [spec.containerEdits, edits];
  });
}

function invalid(message: string, hint?: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "start", ...(hint !== undefined && { hint }) });
}
