/** process.capabilities of config.json as the masks that capset(2) and prctl(2) take. */
import { readFileSync } from "node:fs";
import { capabilityMask, isCapabilityName } from "../../ffi/capability.ts";
import { type CapabilityName, capabilityNumbers } from "../../ffi/constants/capability.ts";
import type { OciCapabilities } from "../oci/runtime.ts";

export interface CapabilityMasks {
  bounding: bigint;
  effective: bigint;
  inheritable: bigint;
  permitted: bigint;
  ambient: bigint;
  /** Names that tsd or this kernel does not know. They are left out and told, as runc does: a newer tool wrote the file. */
  unknown: string[];
}

const sets = ["bounding", "effective", "inheritable", "permitted", "ambient"] as const;

/** @param last the highest number that the kernel knows, as lastCapability() tells. */
export function capabilityMasksOf(capabilities: OciCapabilities, last = lastCapability()): CapabilityMasks {
  const unknown = new Set<string>();
  const masks: CapabilityMasks = {
    bounding: 0n,
    effective: 0n,
    inheritable: 0n,
    permitted: 0n,
    ambient: 0n,
    unknown: [],
  };
  for (const set of sets) {
    const known: CapabilityName[] = [];
    for (const name of capabilities[set] ?? []) {
      if (isCapabilityName(name) && capabilityNumbers[name] <= last) known.push(name);
      else unknown.add(name);
    }
    masks[set] = capabilityMask(known);
  }
  masks.unknown = [...unknown];
  return masks;
}

let last: number | undefined;

/** The highest capability of this kernel: proc_sys_kernel(5), cap_last_cap. */
export function lastCapability(): number {
  last ??= Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  return last;
}

/** Every capability that this kernel has, by name; what `runc features` lists. */
export function kernelCapabilities(): string[] {
  return Object.entries(capabilityNumbers).flatMap(([name, number]) => (number <= lastCapability() ? [name] : []));
}
