/** The file system of a container, running or not, as records for the plan of somebody who works on its files. */
import { CLONE_NEWNS } from "../../ffi/constants/namespace.ts";
import type { PlanBuilder } from "../../ffi/plan/builder.ts";
import { flags } from "../../ffi/plan/values.ts";
import type { OciMount, RuntimeConfig } from "../oci/runtime.ts";
import type { OverlayMount } from "./options.ts";
import { addMounts } from "./plan/mounts.ts";
import { enterRoot, finishRoot, isolateMounts, openRoot } from "./plan/root.ts";

export interface AssembledRoot {
  /** Absolute. */
  bundle: string;
  rootfsMount: OverlayMount;
  config: RuntimeConfig;
}

const mountNamespace = flags(CLONE_NEWNS, { CLONE_NEWNS });

/** Enters a running container's mount namespace, whose descriptor is given by this name. */
export function enterMounts(plan: PlanBuilder, descriptor: string): void {
  plan.call("setns", [plan.descriptor(descriptor), mountNamespace], { what: "the container's mounts" });
}

/**
 * Mounts root and bind mounts of a container that does not run in one more mount namespace, in which the root is "/".
 * Places for mounts that are missing are made, as at a start; of what exists only while the container runs (proc,
 * tmpfs …) there is nothing.
 * @throws EngineError invalid_argument or unsupported with the field of the configuration.
 */
export function assembleRoot(plan: PlanBuilder, { config, bundle, rootfsMount }: AssembledRoot): void {
  const only: RuntimeConfig = { ...config, mounts: (config.mounts ?? []).filter(isBind) };
  plan.call("unshare", [mountNamespace]);
  plan.call("umask", [0]);
  isolateMounts(plan, only);
  const root = openRoot(plan, only, { bundle, rootfsMount });
  const finishMounts = addMounts(plan, only, root, {
    anchors: new Map(),
    copies: new Map(),
    bundle,
    sources: new Map(),
    cgroupHierarchies: [],
    cgroupNamespace: false,
    mountLabel: undefined,
  });
  finishMounts();
  enterRoot(plan, root, false);
  finishRoot(plan, only, root);
  plan.close(root);
}

function isBind({ type, options = [] }: OciMount): boolean {
  return type === "bind" || options.includes("bind") || options.includes("rbind");
}
