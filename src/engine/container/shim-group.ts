import type { EngineContext } from "../context.ts";
import { projectLabel } from "./boot-order.ts";

/** Which containers a container shares its shim's process with; undefined for one that has a process of its own. */
export function shimGroup(
  { configuration }: Pick<EngineContext, "configuration">,
  labels: Readonly<Record<string, string>> | undefined,
): string | undefined {
  return configuration.shimPer === "project" ? labels?.[projectLabel] || undefined : undefined;
}
