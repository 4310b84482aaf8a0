/** Containers as the Engine API shows them: `inspect`, and a row of `ps`. */
import type { ContainerInspect, ContainerSummary, MountPoint } from "../../api/schema/container.ts";
import type { ContainerConfig, HostConfig } from "../../api/schema/container-config.ts";
import { healthView } from "../health/health.ts";
import type { Layout } from "../layout.ts";
import type { Container } from "./container.ts";
import type { ContainerDefinition } from "./definition.ts";
import { containerNetworks, networkSettings, portSummaries } from "./network-view.ts";
import { projectState, restartsIn } from "./state.ts";
import { statusText } from "./status-text.ts";

export interface Sizes {
  /** Bytes in the writable layer. */
  writable: number;
  /** Together with the image's. */
  total: number;
}

interface ViewOptions {
  layout: Layout;
  /** Whose hosts and resolv.conf it has: its own id, or that of the container whose network it shares. */
  etcOwner: string;
  /** HostConfig.Links, as they are shown. */
  links: string[];
  execIds: string[];
  size?: Sizes;
}

export function inspectView(container: Container, options: ViewOptions): ContainerInspect {
  const { id, name, createdAt, definition, state, health } = container;
  const { layout, etcOwner, links, execIds, size } = options;
  const etc = layout.container(etcOwner);
  const mounted = (target: string) => definition.mounts.find(({ Destination }) => Destination === target)?.Source;
  // Nothing of it is there before the first start.
  const made = (file: string) => (state.status === "created" ? "" : file);
  const [path = "", ...args] = definition.command;
  return {
    Id: id,
    Created: createdAt,
    Path: path,
    Args: args,
    State: { ...projectState(state), ...(health && { Health: healthView(health) }) },
    Image: definition.imageId,
    ResolvConfPath: made(mounted("/etc/resolv.conf") || etc.resolvConf),
    HostnamePath: made(mounted("/etc/hostname") || etc.hostname),
    HostsPath: made(mounted("/etc/hosts") || etc.hosts),
    LogPath: definition.hostConfig.LogConfig?.Type === "json-file" ? made(layout.container(id).log) : "",
    Name: `/${name}`,
    RestartCount: restartsIn(state)?.count ?? 0,
    Driver: "overlayfs",
    Platform: "linux",
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: execIds.length > 0 ? execIds : null,
    HostConfig: { ...withoutLinks(definition.hostConfig), ...(links.length > 0 && { Links: links }) },
    GraphDriver: { Name: "overlayfs", Data: null },
    Storage: { RootFS: { Snapshot: { Name: "overlayfs" } } },
    ...(size && { SizeRw: size.writable, SizeRootFs: size.total }),
    Mounts: mountPoints(container),
    Config: { ...definition.config, ...wishedMac(definition) },
    NetworkSettings: networkSettings(container),
    ...(definition.imageManifest && { ImageManifestDescriptor: definition.imageManifest }),
  };
}

/** Those to containers on users' networks are shown with the network. */
function withoutLinks({ Links: _, ...hostConfig }: HostConfig): HostConfig {
  return hostConfig;
}

/** Clients before API 1.52 know one for the whole container. */
function wishedMac({ hostConfig, endpoints }: ContainerDefinition): Pick<ContainerConfig, "MacAddress"> {
  const mode = hostConfig.NetworkMode ?? "bridge";
  const { MacAddress } = endpoints[mode] ?? Object.values(endpoints).find(({ NetworkID }) => NetworkID === mode) ?? {};
  return MacAddress === undefined ? {} : { MacAddress };
}

/** @param linkNames what it is called by those that link to it: `web/db`. */
export function summaryView(
  container: Container,
  imageName: string,
  linkNames: readonly string[],
  nowMs: number,
  size?: Sizes,
): ContainerSummary {
  const { id, name, createdAt, definition, state, health } = container;
  const { hostConfig, config, imageId } = definition;
  return {
    Id: id,
    Names: [name, ...linkNames].map((each) => `/${each}`),
    Image: imageName,
    ImageID: imageId,
    Command: commandLine(definition.command),
    Created: Math.floor(Date.parse(createdAt) / 1000),
    Ports: portSummaries(container),
    ...(size && { SizeRw: size.writable, SizeRootFs: size.total }),
    Labels: config.Labels ?? {},
    State: projectState(state).Status,
    Status: statusText(state, nowMs, health),
    HostConfig: {
      NetworkMode: hostConfig.NetworkMode ?? "bridge",
      ...(hostConfig.Annotations && { Annotations: hostConfig.Annotations }),
    },
    NetworkSettings: { Networks: containerNetworks(container) },
    Mounts: mountPoints(container),
    Health: { Status: health?.status ?? "none", FailingStreak: health?.failingStreak ?? 0 },
    ...(definition.imageManifest && { ImageManifestDescriptor: definition.imageManifest }),
  };
}

/** Arguments with a space stand in quotes, and nothing is escaped: it is for people. */
function commandLine([path = "", ...args]: readonly string[]): string {
  return [path, ...args.map((arg) => (arg.includes(" ") ? `'${arg}'` : arg))].join(" ");
}

/** The mounts without what the engine notes for itself. */
function mountPoints(container: Container): MountPoint[] {
  return container.definition.mounts.map(({ Type, Name, Source, Destination, Driver, Mode, RW, Propagation }) => ({
    Type,
    ...(Name !== undefined && { Name }),
    Source,
    Destination,
    ...(Driver !== undefined && { Driver }),
    Mode,
    RW,
    Propagation,
  }));
}
