/** From a request to a stored container that can be started: directories, volumes, the writable layer, the record. */
import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { hostname as hostHostname } from "node:os";
import type { ContainerCreateResponse } from "../../api/schema/container.ts";
import type { ContainerConfig, ContainerCreateRequest, HostConfig } from "../../api/schema/container-config.ts";
import { type Cleanup, withCleanup } from "../../core/cleanup.ts";
import { withoutSync } from "../../core/database.ts";
import { EngineError, isEngineError, wrapError } from "../../core/errors.ts";
import { newId } from "../../core/id.ts";
import type { Image } from "../../image/image.ts";
import { formatPlatform, hostPlatform, satisfies } from "../../image/platform.ts";
import type { EngineContext } from "../context.ts";
import { manifestDescriptor } from "../image/manifests.ts";
import { resolveImage } from "../image/resolve.ts";
import { type PlannedMount, planMounts } from "../mount/plan.ts";
import { realizeMounts } from "../mount/realize.ts";
import type { OverlayRoot } from "../parts.ts";
import { checkUserNamespace, settleUserNamespace, sharedNamespaces } from "../userns/settle.ts";
import type { Container } from "./container.ts";
import type { ContainerDefinition } from "./definition.ts";
import { checkMacAddress, settleEndpoints } from "./endpoints.ts";
import { containerEvent } from "./event.ts";
import { checkMergedHealthcheck } from "./healthcheck.ts";
import { commandOf, mergeImageConfig } from "./image-config.ts";
import { settleLinks } from "./links.ts";
import { logDefaults } from "./log-target.ts";
import { parseContainerName } from "./names.ts";
import {
  checkConfig,
  checkHostConfig,
  checkNetworkMode,
  containerConfigOf,
  hostnameFor,
  normalizeHostConfig,
  runtimePath,
} from "./normalize.ts";
import { portRequests } from "./ports.ts";
import { refuseUnsupported, unactedWarnings } from "./refusal.ts";
import type { CreatedState, StartingState } from "./state.ts";
import { storageLimit } from "./storage-limit.ts";

export interface CreateOptions {
  name?: string;
  /** `os[/arch[/variant]]`. */
  platform?: string;
}

export interface CreatedContainer {
  container: Container;
  response: ContainerCreateResponse;
}

/** What can be decided without touching anything. */
interface Draft extends Omit<ContainerDefinition, "mounts"> {
  image: Image;
  planned: PlannedMount[];
  warnings: string[];
}

/**
 * @param state `starting` for a container that is about to be started by the same request: one write fewer.
 * @throws EngineError not_found for an image that is not here, already_exists for a taken name, invalid_argument,
 * unsupported. Nothing is left of a container that could not be made.
 */
export async function createContainer(
  context: EngineContext,
  request: ContainerCreateRequest,
  options: CreateOptions,
  state: CreatedState | StartingState = { status: "created" },
): Promise<CreatedContainer> {
  const id = newId();
  const draft = draftContainer(context, id, request, options);
  const { containers } = context;
  const name = reserveName(context, id, options.name);
  try {
    const container = await withCleanup(`create container ${id}`, (cleanup) => {
      cleanup.add(`release the name ${name}`, () => containers.names.release(name, id));
      return buildContainer(context, { id, name, draft, state }, cleanup);
    });
    return { container, response: { Id: id, Warnings: draft.warnings } };
  } catch (error) {
    // What is wrong with the request is said in docker's own words; the rest is said to have happened here.
    throw isEngineError(error, "invalid_argument")
      ? error
      : wrapError(error, `create container ${name}`, { stage: "create" });
  }
}

async function buildContainer(
  context: EngineContext,
  parts: { id: string; name: string; draft: Draft; state: CreatedState | StartingState },
  cleanup: Cleanup,
): Promise<Container> {
  const { id, name, draft, state } = parts;
  const { image: found, warnings: _warnings, planned, ...rest } = draft;
  const { layout, snapshots, volumes, userRanges, containers } = context;
  const paths = layout.container(id);
  cleanup.add(`remove ${paths.directory}`, () => rm(paths.directory, { recursive: true, force: true }));
  cleanup.add("remove the snapshot", () => snapshots.remove(id));
  mkdirSync(paths.directory, { mode: 0o710 });
  mkdirSync(paths.rootfs, { mode: 0o755 });
  // Before the container is on record: an image that is used now is not removed to make space.
  context.images.touch(found.id);
  const image = found.isUnpacked ? found : await context.images.ensureUnpacked(found);
  const root = prepareLayer(context, id, image, rest.storageBytes);
  cleanup.add("give up its users", () => userRanges.release(id));
  const userNamespace = settleUserNamespace(context, id, rest.hostConfig);
  const realized = await realizeMounts(planned, {
    containerId: id,
    volumes,
    images: context,
    cleanup,
    lower: root.lower,
    userNamespace,
  });
  const definition: ContainerDefinition = {
    ...rest,
    mounts: realized.mounts,
    ...(userNamespace !== undefined && { userNamespace }),
  };
  const record = { id, name, createdAt: new Date().toISOString(), definition, state };
  const container = containers.insert(record, () => volumes.insert(realized.unstored));
  for (const volume of realized.unstored) volumes.users.add(volume.name, id);
  volumes.announce(realized.unstored);
  containerEvent(context, container, "create");
  return container;
}

function prepareLayer(context: EngineContext, id: string, image: Image, limit: number | undefined): OverlayRoot {
  const prepare = () => context.snapshots.prepare(id, image, limit);
  // Its row means nothing without the container's, whose transaction waits for the disk. What limits it is also the
  // kernel's, and has to be on record first.
  return limit === undefined ? withoutSync(context.database, prepare) : prepare();
}

function draftContainer(
  context: EngineContext,
  id: string,
  request: ContainerCreateRequest,
  options: CreateOptions,
): Draft {
  refuseUnsupported(request, context.configuration.log ?? logDefaults);
  const requested = containerConfigOf(request);
  checkConfig(requested);
  const image = resolveImage(context, requested.Image ?? "", options.platform);
  const config = mergeImageConfig(requested, image.config.config ?? {});
  checkMergedHealthcheck(config);
  const { configuration, cgroupVersion } = context;
  const settled = context.bundles.settleLimits(request.HostConfig ?? {});
  const hostConfig = normalizeHostConfig(settled.hostConfig, configuration, cgroupVersion);
  checkHostConfig(hostConfig);
  checkNetworkMode(requested, hostConfig);
  const { mode, endpoints } = settleNetworks(context, request, hostConfig);
  hostConfig.NetworkMode = mode;
  Object.assign(hostConfig, sharedModes(context, hostConfig));
  checkUserNamespace(context, hostConfig);
  const storageBytes = storageLimit(context, hostConfig);
  portRequests(config, hostConfig);
  const runtime = hostConfig.Runtime!;
  runtimePath(runtime, configuration);
  context.bundles.check(config, hostConfig);
  Object.assign(hostConfig, context.bundles.hiddenPaths(hostConfig));
  Object.assign(config, namesOf(context, id, config, hostConfig));
  return {
    image,
    planned: planMounts(config, hostConfig, {
      root: context.layout.root,
      mountsOf: (reference) => otherContainer(context, reference).definition.mounts,
    }),
    imageId: image.id,
    imageManifest: manifestDescriptor(image),
    platform: formatPlatform(image.platform),
    config,
    hostConfig,
    endpoints,
    command: commandOf(config),
    runtime,
    ...(storageBytes !== undefined && { storageBytes }),
    warnings: [
      ...(options.platform === undefined ? platformWarnings(image) : []),
      ...settled.warnings,
      ...portWarnings(hostConfig),
      ...unactedWarnings({ ...config, HostConfig: request.HostConfig ?? {} }),
    ],
  };
}

/** Another container is stored by its id, as for the network. */
function sharedModes(context: EngineContext, hostConfig: HostConfig): Pick<HostConfig, "IpcMode" | "PidMode"> {
  const modes = sharedNamespaces(context, hostConfig).filter(({ kind }) => kind !== "network");
  return Object.fromEntries(
    modes.map(({ kind, other }) => [kind === "pid" ? "PidMode" : "IpcMode", `container:${other.id}`]),
  );
}

/** Another container is stored by its id: a name may come to mean another one, this container's own descendant even. */
function settleNetworks(
  context: EngineContext,
  request: ContainerCreateRequest,
  hostConfig: HostConfig,
): Pick<ContainerDefinition, "endpoints"> & { mode: string } {
  const { NetworkMode: mode = "bridge", Links: links = [] } = hostConfig;
  const settings = request.NetworkingConfig?.EndpointsConfig ?? {};
  checkMacAddress(mode, settings);
  if (mode.startsWith("container:")) {
    const { id } = networkOwner(context, mode.slice("container:".length));
    return { mode: `container:${id}`, endpoints: {} };
  }
  if (request.NetworkDisabled) return { mode, endpoints: {} };
  const settled = settleEndpoints({ mode, settings, links }, (reference) => context.networks.find(reference));
  if (links.length > 0) hostConfig.Links = settleLinks(context, links);
  for (const endpoint of Object.values(settled.endpoints)) {
    if (endpoint.Links) endpoint.Links = settleLinks(context, endpoint.Links);
  }
  return settled;
}

/** @throws EngineError invalid_argument: to not_found docker's client would answer by pulling the image. */
function otherContainer(context: EngineContext, reference: string): Container {
  try {
    return context.containers.find(reference);
  } catch (error) {
    if (!isEngineError(error, "not_found")) throw error;
    throw new EngineError("invalid_argument", error.message, { stage: "create", cause: error });
  }
}

function networkOwner(context: EngineContext, reference: string): Container {
  try {
    return context.containers.find(reference);
  } catch (error) {
    if (!isEngineError(error, "not_found")) throw error;
    throw new EngineError("invalid_argument", `network container:${reference}: ${error.message}`, { cause: error });
  }
}

/** Whoever joins another container's network has that one's names too, which its /etc/hosts tells of. */
function namesOf(
  context: EngineContext,
  id: string,
  config: ContainerConfig,
  hostConfig: HostConfig,
): Pick<ContainerConfig, "Hostname" | "Domainname"> {
  const mode = hostConfig.NetworkMode!;
  if (!mode.startsWith("container:")) return { Hostname: hostnameFor(id, config, hostConfig, hostHostname()) };
  const { Hostname = "", Domainname = "" } = context.containers.find(mode.slice("container:".length)).definition.config;
  return { Hostname, Domainname };
}

function reserveName(context: EngineContext, id: string, requested: string | undefined): string {
  const { names } = context.containers;
  if (requested === undefined || requested === "") return names.reserveGenerated(id);
  const name = parseContainerName(requested);
  names.reserve(name, id);
  return name;
}

/** In Docker's words: without emulation the kernel will not run its programs. */
function platformWarnings({ platform }: Image): string[] {
  const host = hostPlatform();
  if (satisfies(platform, host)) return [];
  const shown = `(${formatPlatform(platform)}) does not match the detected host platform (${formatPlatform(host)})`;
  return [`The requested image's platform ${shown} and no specific platform was requested`];
}

/** In Docker's words. */
function portWarnings({ NetworkMode, PortBindings = {}, PublishAllPorts }: HostConfig): string[] {
  const isAsked = PublishAllPorts || Object.values(PortBindings).some((bindings) => bindings?.length);
  return NetworkMode === "host" && isAsked ? ["Published ports are discarded when using host network mode"] : [];
}
