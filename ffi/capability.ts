/** Capability sets: names, numbers and the masks that the kernel prints and takes. capabilities(7). */
import { type CapabilityName, capabilityNames, capabilityNumbers } from "./constants/capability.ts";

/** The names of a mask's bits, lowest first. A bit that has no name yet is `CAP_41`. */
export function capabilitiesOf(mask: bigint): string[] {
  const byNumber: string[] = [];
  for (const [name, number] of Object.entries(capabilityNumbers)) byNumber[number] = name;
  const names: string[] = [];
  for (let number = 0; mask >> BigInt(number) !== 0n; number++) {
    if ((mask >> BigInt(number)) & 1n) names.push(byNumber[number] ?? `CAP_${number}`);
  }
  return names;
}

export function capabilityMask(names: Iterable<CapabilityName>): bigint {
  let mask = 0n;
  for (const name of names) mask |= 1n << BigInt(capabilityNumbers[name]);
  return mask;
}

export function isCapabilityName(name: string): name is CapabilityName {
  return capabilityNames[name] !== undefined;
}

/** The masks of a /proc/<pid>/status by the names that it gives them: CapInh, CapPrm, CapEff, CapBnd, CapAmb. */
export function capabilityMasks(status: string): Record<string, bigint> {
  const masks: Record<string, bigint> = {};
  for (const [, name, hex] of status.matchAll(/^(Cap\w+):\s*([0-9a-f]+)$/gm)) masks[name!] = BigInt(`0x${hex}`);
  return masks;
}
