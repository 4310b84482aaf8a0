import { write } from "../../ffi/files.ts";
import { dataMemfd } from "../../ffi/memory.ts";
import type { OciHooks, OciState } from "../oci/runtime.ts";
import type { PlanDescriptors } from "./descriptors.ts";
import { type InnerHook, stateDescriptors } from "./plan/hooks.ts";

/** What the state says of the container when hooks of the kind run (runtime.md, "Lifecycle"). */
const statuses = { createContainer: "creating", startContainer: "created" } as const;

/**
 * Makes the files that hooks of the container's own process read as their standard input. Its plan opens them by
 * descriptor, so nothing of them is to be seen in the container.
 * @returns what writes them, once the pid is known.
 */
export function addHookStates(
  descriptors: PlanDescriptors,
  hooks: OciHooks | undefined,
): (state: Omit<OciState, "status">) => void {
  const kinds = (Object.keys(stateDescriptors) as InnerHook[]).filter((kind) => hooks?.[kind]?.length);
  const files = kinds.map((kind) => ({ kind, file: dataMemfd("state") }));
  for (const { kind, file } of files) descriptors.add(stateDescriptors[kind], file);
  return (state) => {
    for (const { kind, file } of files) write(file, JSON.stringify({ ...state, status: statuses[kind] }));
  };
}
