/** `--volumes-from CONTAINER[:ro]`: the mounts of another container, of all kinds, at the same places. */
import { EngineError } from "../../core/errors.ts";
import { isVolumesFromMode } from "../../volume/bind-spec.ts";
import type { ContainerMount } from "../container/definition.ts";
import type { PlannedInherited } from "./plan.ts";

/**
 * Of several containers that have something at one place the last one's counts.
 * @throws EngineError invalid_argument in docker's words; whatever `mountsOf` throws.
 */
export function planVolumesFrom(
  specifications: readonly string[],
  mountsOf: (reference: string) => readonly ContainerMount[],
): PlannedInherited[] {
  const byTarget = new Map<string, PlannedInherited>();
  for (const text of specifications) {
    const { reference, readOnly } = parseVolumesFrom(text);
    for (const from of mountsOf(reference)) {
      const target = from.Destination;
      byTarget.set(target, { kind: "inherited", target, readOnly: readOnly || !from.RW, mode: "", from });
    }
  }
  return [...byTarget.values()];
}

function parseVolumesFrom(text: string): { reference: string; readOnly: boolean } {
  if (text === "") throw invalid("volumes-from specification cannot be an empty string");
  const colon = text.indexOf(":");
  if (colon < 0) return { reference: text, readOnly: false };
  const mode = text.slice(colon + 1);
  if (!isVolumesFromMode(mode)) throw invalid(`invalid mode: ${mode}`);
  return { reference: text.slice(0, colon), readOnly: mode.split(",").includes("ro") };
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
