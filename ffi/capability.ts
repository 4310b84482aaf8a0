/** Capability sets: names, numbers and the masks that the kernel prints and takes. capabilities(7). */
import { type CapabilityName, capabilityNames, capabilityNumbers } from "./constants/capability.ts";
import { call } from "./syscall.ts";

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

/**
 * Does without a capability in what this thread does by itself, until it is disposed of: one who has it may pass limits
 * that are meant to hold. Programs that are started meanwhile have it as before.
 */
export function withoutCapability(name: CapabilityName): Disposable {
  const [low, high] = [0x20080522, 0]; // _LINUX_CAPABILITY_VERSION_3; of this thread
  const header = new Uint8Array(new Uint32Array([low, high]).buffer);
  // capget(2): twice the effective, permitted and inheritable sets' 32 bits, low halves first.
  const sets = new Uint32Array(6);
  call("capget", "this thread", header, new Uint8Array(sets.buffer));
  const number = capabilityNumbers[name];
  const changed = sets.slice();
  const word = number < 32 ? 0 : 3;
  changed[word] = changed[word]! & ~(1 << (number % 32));
  const apply = (to: Uint32Array<ArrayBuffer>) => call("capset", name, header, new Uint8Array(to.buffer));
  apply(changed);
  return { [Symbol.dispose]: () => void apply(sets) };
}
