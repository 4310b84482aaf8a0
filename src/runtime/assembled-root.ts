/** The file system of a container, running or not, as records for the plan of somebody who works on its files. */
import { MS_NODEV, MS_NOSUID, mountFlags } from "../../ffi/constants/mount.ts";
import { CLONE_NEWNS } from "../../ffi/constants/namespace.ts";
import type { Fd } from "../../ffi/fd.ts";
import type { PlanBuilder } from "../../ffi/plan/builder.ts";
import { flags, octal, str } from "../../ffi/plan/values.ts";
import type { OciMount, RuntimeConfig } from "../oci/runtime.ts";
import { makeMappingNamespace } from "./mapping-namespace.ts";
import type { OverlayMount } from "./options.ts";
import { here } from "./plan/emit.ts";
import { Mappings, mappingNamespaces } from "./plan/mappings.ts";
import { addMounts } from "./plan/mounts.ts";
import { enterRoot, finishRoot, isolateMounts, openRoot, rootfsPath } from "./plan/root.ts";

export interface AssembledRoot {
  /** Absolute. */
  bundle: string;
  rootfsMount: OverlayMount;
  config: RuntimeConfig;
  /**
   * Nothing is written to the layers: what has to be made for mounts is made in memory, and the container may start
   * meanwhile. The root directory itself gets these attributes.
   */
  onlyReads?: { mode: number; uid: number; gid: number };
}

/** For directories and empty files alone. */
const scratchOptions = "size=16m,mode=755";

const mountNamespace = flags(CLONE_NEWNS, { CLONE_NEWNS });

/** Enters a running container's mount namespace, whose descriptor is given by this name. */
export function enterMounts(plan: PlanBuilder, descriptor: string): void {
  plan.call("setns", [plan.descriptor(descriptor), mountNamespace], { what: "the container's mounts" });
}

/**
 * What the records of `assembleRoot` take as descriptors: a user namespace for each mapping of owners.
 * @throws EngineError.
 */
export function rootDescriptors({
  config,
}: Pick<AssembledRoot, "config">): Disposable & { byName: Record<string, Fd> } {
  using made = new DisposableStack();
  const byName: Record<string, Fd> = {};
  for (const { name, mappings } of mappingNamespaces(bindsOf(config))) {
    byName[name] = made.use(makeMappingNamespace(mappings.uids, mappings.gids));
  }
  const held = made.move();
  return { byName, [Symbol.dispose]: () => held.dispose() };
}

/**
 * Mounts root and bind mounts of a container that does not run in one more mount namespace, in which the root is "/".
 * Places for mounts that are missing are made, as at a start; of what exists only while the container runs (proc,
 * tmpfs …) there is nothing.
 * @throws EngineError invalid_argument or unsupported with the field of the configuration.
 */
export function assembleRoot(plan: PlanBuilder, assembled: AssembledRoot): void {
  const { config, bundle } = assembled;
  const only = bindsOf(config);
  plan.call("unshare", [mountNamespace]);
  plan.call("umask", [0]);
  isolateMounts(plan, only);
  const root = openRoot(plan, only, { bundle, rootfsMount: layersOf(plan, assembled) });
  const finishMounts = addMounts(plan, only, root, {
    anchors: new Map(),
    copies: new Map(),
    bundle,
    sources: new Map(),
    cgroupHierarchies: [],
    cgroupNamespace: false,
    mappings: new Mappings(only),
    mountLabel: undefined,
  });
  finishMounts();
  enterRoot(plan, root, false);
  finishRoot(plan, only, root);
  plan.close(root);
}

function layersOf(plan: PlanBuilder, { config, bundle, rootfsMount, onlyReads }: AssembledRoot): OverlayMount {
  if (onlyReads === undefined) return rootfsMount;
  const place = rootfsPath(config, bundle);
  const [upper, work] = [`${place}/upper`, `${place}/work`];
  const what = `a layer in memory on ${place}`;
  const bits = flags(MS_NOSUID | MS_NODEV, mountFlags);
  plan.call("mount", [str("tmpfs"), str(place), str("tmpfs"), bits, str(scratchOptions)], { what });
  const { mode, uid, gid } = onlyReads;
  plan.call("mkdirat", [here, str(upper), octal(mode)], { what });
  plan.call("fchownat", [here, str(upper), uid, gid, 0], { what });
  plan.call("mkdirat", [here, str(work), octal(0o700)], { what });
  const own = rootfsMount.upper === undefined ? [] : [rootfsMount.upper];
  return { lower: [...own, ...rootfsMount.lower], upper, work };
}

function bindsOf(config: RuntimeConfig): RuntimeConfig {
  return { ...config, mounts: (config.mounts ?? []).filter(isBind) };
}

function isBind({ type, options = [] }: OciMount): boolean {
  return type === "bind" || options.includes("bind") || options.includes("rbind");
}
