/** A stored container as the OCI bundle that its shim is given. */

import { writeFileSync } from "node:fs";
import type { Fd } from "../../../ffi/fd.ts";
import type { BundleInput, BundleMount, BundleTmpfs } from "../../bundle/input.ts";
import { EngineError } from "../../core/errors.ts";
import { formatExactJson } from "../../core/exact-json.ts";
import type { Sandbox } from "../../network/sandbox.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import type { ShimContainer } from "../../shim/protocol.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerPaths } from "../layout.ts";
import { bundleIdMapping } from "../mount/id-mapping.ts";
import { sharedMemoryMounts } from "../mount/shared-memory.ts";
import type { MountSources } from "../mount/sources.ts";
import { type Container, isRestarting } from "./container.ts";
import { writeEtcFiles } from "./etc-files.ts";
import { linkVariables } from "./links.ts";
import { logTarget } from "./log-target.ts";
import { runtimePath } from "./normalize.ts";

/** What the container gets of the host for this start. */
interface BundleSurroundings {
  sandbox: Sandbox;
  sources: MountSources;
  /** Its own, which this process made. */
  userNamespace: Fd | undefined;
}

/** Writes what the container needs beside its layers, and puts together what the shim is told. */
export function prepareBundle(
  context: EngineContext,
  container: Container,
  { sandbox, sources, userNamespace }: BundleSurroundings,
): ShimContainer {
  const { id, definition } = container;
  const { config, hostConfig } = definition;
  const { layout, configuration } = context;
  const paths = layout.container(id);
  const etcPaths = layout.container(joinedContainer(context, container)?.id ?? id);
  const overlay = context.snapshots.mounts(id);
  writeEtcFiles(context, container, sandbox, paths);
  const runtime = runtimePath(definition.runtime, configuration);
  const layers = [overlay.upper, ...overlay.lower];
  const lookupUser = (name: string) => context.bundles.user(layers, name, hostConfig.GroupAdd ?? []);
  const user = lookupUser(config.User ?? "");
  const mapping = { userNamespace: definition.userNamespace, user, lookupUser };
  const runtimeConfig: RuntimeConfig = context.bundles.config({
    id,
    config,
    hostConfig,
    rootfs: paths.rootfs,
    user,
    mounts: [
      ...etcMounts(container, etcPaths),
      ...sharedMemoryMounts(context, container),
      ...bindMounts(container, sources, mapping),
    ],
    tmpfs: tmpfsMounts(container),
    ...joinedUserNamespace(container, userNamespace),
    namespacePaths: namespacePaths(context, container, sandbox),
    cgroupsPath: cgroupPath(context, container),
    keepsProjects: isLimited(context, container),
    extraEnvironment: linkVariables(context, container),
  });
  // Other runtimes read the bundle as the specification has it.
  if (runtime !== undefined) writeFileSync(paths.config, formatExactJson(runtimeConfig), { mode: 0o600 });
  const [rows, columns] = hostConfig.ConsoleSize ?? [];
  return {
    id,
    bundle: paths.directory,
    config: runtimeConfig,
    stateDir: paths.state,
    runtimeRoot: layout.runtime,
    ...(runtime !== undefined && { runtime: { path: runtime } }),
    rootfsMount: userNamespace === undefined ? overlay : { ...overlay, mapped: true },
    terminal: container.terminal,
    ...(rows && columns && { consoleSize: { rows, columns } }),
    stdin: { open: config.OpenStdin === true, once: config.StdinOnce === true },
    log: logTarget(container, paths),
  };
}

/** Whether its own layer, or a volume of it, may take so much and no more. */
function isLimited({ volumes }: EngineContext, { definition }: Container): boolean {
  const { storageBytes, mounts } = definition;
  return storageBytes !== undefined || mounts.some(({ Type, Name }) => Type === "volume" && isLimitedVolume(Name!));
  function isLimitedVolume(name: string): boolean {
    const { driver, options } = volumes.record(name) ?? {};
    return driver === "local" && options?.size !== undefined;
  }
}

/** This process holds it until the container has joined it. */
function joinedUserNamespace({ definition }: Container, held: Fd | undefined): Pick<BundleInput, "userNamespace"> {
  const { userNamespace } = definition;
  if (userNamespace === undefined || held === undefined) return {};
  const { uids, gids } = userNamespace;
  return { userNamespace: { path: `/proc/${process.pid}/fd/${held.number}`, uids, gids } };
}

/** Below the mount points of the cgroup file systems. */
export function cgroupPath(context: Pick<EngineContext, "configuration">, container: Container): string {
  const parent = container.definition.hostConfig.CgroupParent || context.configuration.cgroupParent;
  return `${parent.startsWith("/") ? "" : "/"}${parent}/${container.id}`;
}

/** The container whose network this one shares, in the end. @throws EngineError not_found when it is gone. */
export function joinedContainer(context: EngineContext, container: Container): Container | undefined {
  const mode = container.definition.hostConfig.NetworkMode ?? "";
  if (!mode.startsWith("container:")) return undefined;
  const other = context.containers.find(mode.slice("container:".length));
  return joinedContainer(context, other) ?? other;
}

/** Unless the container mounts something of its own there. */
export function etcMounts(container: Container, paths: ContainerPaths): BundleMount[] {
  const taken = new Set(container.definition.mounts.map(({ Destination }) => Destination));
  // As in Docker they belong to the root: who may not write to that may not write to them.
  const isReadOnly = container.definition.hostConfig.ReadonlyRootfs === true;
  const isMapped = container.definition.userNamespace !== undefined;
  const own = { "/etc/resolv.conf": paths.resolvConf, "/etc/hostname": paths.hostname, "/etc/hosts": paths.hosts };
  return Object.entries(own)
    .filter(([destination]) => !taken.has(destination))
    .map(([destination, source]) => ({
      destination,
      source,
      ...(isReadOnly && { readOnly: true }),
      ...(isMapped && { idMapping: "container" }),
    }));
}

/** @param mapping whose owners the mounts get; absent: those that files have on the disk. */
export function bindMounts(
  container: Container,
  sources: MountSources,
  mapping?: Parameters<typeof bundleIdMapping>[2],
): BundleMount[] {
  const mounts: BundleMount[] = [];
  for (const mount of container.definition.mounts) {
    if (mount.Type === "tmpfs") continue;
    const { nonRecursive, readOnlyNonRecursive, readOnlyForceRecursive } = mount;
    const source = sources.of(mount);
    mounts.push({
      destination: mount.Destination,
      source,
      readOnly: !mount.RW,
      ...(mount.Propagation !== "" && { propagation: mount.Propagation }),
      ...(nonRecursive && { nonRecursive }),
      ...(readOnlyNonRecursive && { readOnlyNonRecursive }),
      ...(readOnlyForceRecursive && { readOnlyForceRecursive }),
      ...(mapping && bundleIdMapping(mount.idMapping, { source, destination: mount.Destination }, mapping)),
    });
  }
  return mounts;
}

function tmpfsMounts(container: Container): BundleTmpfs[] {
  return container.definition.mounts
    .filter(({ Type }) => Type === "tmpfs")
    .map(({ Destination, tmpfsOptions = "" }) => ({ destination: Destination, options: tmpfsOptions }));
}

/** Namespaces of other containers that this one shares: `container:ID` modes, and the network part's own. */
function namespacePaths(
  context: EngineContext,
  container: Container,
  sandbox: Sandbox,
): { network?: string; ipc?: string; pid?: string } {
  const { IpcMode = "", PidMode = "" } = container.definition.hostConfig;
  const joined = (mode: string, kind: string) =>
    mode.startsWith("container:") ? namespaceOf(context, mode.slice("container:".length), kind) : undefined;
  const ipc = joined(IpcMode, "ipc");
  const pid = joined(PidMode, "pid");
  return {
    ...(sandbox.namespacePath !== undefined && { network: sandbox.namespacePath }),
    ...(ipc !== undefined && { ipc }),
    ...(pid !== undefined && { pid }),
  };
}

/** @throws EngineError conflict when the other container does not run. */
export function namespaceOf(context: EngineContext, reference: string, kind: string): string {
  const other = context.containers.find(reference);
  if (other.restartsByPolicy) throw isRestarting(other);
  if (other.state.status !== "running") {
    throw new EngineError(
      "conflict",
      `cannot join ${kind} namespace of a non running container: container ${other.id}`,
    );
  }
  return `/proc/${other.state.pid}/ns/${kind}`;
}
