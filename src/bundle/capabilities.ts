/** Which capabilities a container gets: Docker's fourteen, what was added and dropped. */
import { isCapabilityName } from "../../ffi/capability.ts";
import { advice } from "../core/advice.ts";
import { EngineError } from "../core/errors.ts";

/** Docker's default set (moby, daemon/pkg/oci/caps/defaults.go), in its order. */
export const defaultCapabilities: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

export interface CapabilityChanges {
  add: readonly string[];
  drop: readonly string[];
  privileged: boolean;
}

/**
 * The container's capabilities by name.
 * @param held what the engine can give away: `--privileged` and ALL mean these, and no default is given that is not
 * held.
 * @throws EngineError invalid_argument, in docker's words, for an unknown name or one that is not held.
 */
export function containerCapabilities(changes: CapabilityChanges, held: readonly string[]): string[] {
  if (changes.privileged) return [...held];
  const basics = defaultCapabilities.filter((name) => held.includes(name));
  const dropped = normalize(changes.drop, held, "drop");
  const added = normalize(changes.add, held, "add");
  if (added.includes("ALL")) return held.filter((name) => !dropped.includes(name));
  const kept = dropped.includes("ALL") ? [] : basics.filter((name) => !dropped.includes(name));
  return [...new Set([...kept, ...added])];
}

function normalize(names: readonly string[], held: readonly string[], purpose: "add" | "drop"): string[] {
  return names.map((given) => {
    const upper = given.toUpperCase();
    if (upper === "ALL") return upper;
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (!isCapabilityName(name)) {
      const field = purpose === "add" ? "CapAdd" : "CapDrop";
      throw new EngineError("invalid_argument", `invalid ${field}: unknown capability: "${name}"`, {
        hint: advice.capability,
      });
    }
    // To drop what one does not have is no mistake, although Docker says so too.
    if (purpose === "add" && !held.includes(name)) {
      const reason = "capability not supported by your kernel or not available in the current environment";
      throw new EngineError("invalid_argument", `${reason}: "${name}"`);
    }
    return name;
  });
}
