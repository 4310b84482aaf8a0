/** process.capabilities of config.json against what this kernel has. */

import { isCapabilityName } from "../../ffi/capability.ts";
import { capabilityNumbers } from "../../ffi/constants/capability.ts";
import { readFileSync } from "../../ffi/fs.ts";
import type { OciCapabilities } from "../oci/runtime.ts";

const sets = ["bounding", "effective", "inheritable", "permitted", "ambient"] as const;

/**
 * Names that tsd or this kernel does not know. The plan leaves them out, for a newer tool wrote the file, and
 * config.md ("Linux Process") wants it told.
 * @param last the highest number that the kernel knows.
 */
export function unknownCapabilities(capabilities: OciCapabilities, last: number = lastCapability()): string[] {
  const names = new Set<string>();
  for (const set of sets) for (const name of capabilities[set] ?? []) names.add(name);
  return [...names].filter((name) => !isCapabilityName(name) || capabilityNumbers[name] > last);
}

/** Tells of the capabilities that a process asks for and does not get. */
export function warnOfUnknownCapabilities(
  capabilities: OciCapabilities | undefined,
  warn: ((message: string) => void) | undefined,
): void {
  const unknown = capabilities === undefined || warn === undefined ? [] : unknownCapabilities(capabilities);
  if (unknown.length > 0) warn?.(`ignoring unknown or unavailable capabilities: [${unknown.join(" ")}]`);
}

let last: number | undefined;

/** The highest capability of this kernel: proc_sys_kernel(5), cap_last_cap. */
function lastCapability(): number {
  last ??= Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  return last;
}
