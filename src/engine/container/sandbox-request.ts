/** A container's record as what its network part is asked for. */
import type { Descriptor } from "../../../ffi/fd.ts";
import type { EndpointSettings, HostConfig } from "../../api/schema/container-config.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import type { Network } from "../../network/network.ts";
import type { DnsRequest, EndpointRequest, LinkRequest, SandboxRequest, SandboxWishes } from "../../network/sandbox.ts";
import type { EngineContext } from "../context.ts";
import { namespaceOf } from "./bundle.ts";
import type { Container } from "./container.ts";
import { containerNames } from "./endpoints.ts";
import { linkedContainers } from "./links.ts";
import { portRequests } from "./ports.ts";

/**
 * @param userNamespace the container's, to which its network namespace is to belong.
 * @throws EngineError not_found in docker's words when one of its networks is gone, conflict when the container whose
 *   network it shares does not run.
 */
export function sandboxRequest(
  context: EngineContext,
  container: Container,
  userNamespace: Descriptor | undefined,
): SandboxRequest {
  const owner = userNamespace === undefined ? {} : { userNamespace };
  const { config, hostConfig, endpoints } = container.definition;
  if (config.NetworkDisabled) return { kind: "none", ...owner };
  const mode = hostConfig.NetworkMode ?? "bridge";
  if (mode.startsWith("container:")) {
    return { kind: "container", namespacePath: namespaceOf(context, mode.slice("container:".length), "net") };
  }
  const found = Object.entries(endpoints).map(([name, settings]) => {
    const network = networkOf(context, name, settings);
    return { network, request: endpointRequest(context, container, network, settings) };
  });
  const only = found.length === 1 ? found[0]!.network : undefined;
  if (only?.driver === "host") return { kind: "host" };
  const wishes: SandboxWishes = {
    containerName: container.name,
    ports: portRequests(config, hostConfig),
    dns: dnsRequest(context, hostConfig),
  };
  if (only?.isBuiltIn && only.driver === "null") return { kind: "none", wishes, ...owner };
  return { kind: "networks", endpoints: found.map(({ request }) => request), ...wishes, ...owner };
}

/** Whatever a container says nothing of is the daemon's, each by itself, as in Docker. */
export function dnsRequest(
  { configuration }: Pick<EngineContext, "configuration">,
  { Dns, DnsSearch, DnsOptions }: HostConfig,
): DnsRequest {
  const { servers = [], search = [], options = [] } = configuration.network.dns ?? {};
  return {
    servers: Dns?.length ? Dns : servers,
    search: DnsSearch?.length ? DnsSearch : search,
    options: DnsOptions?.length ? DnsOptions : options,
  };
}

/**
 * The network of an endpoint: the very one that was chosen, also where another has its name by now.
 * @throws EngineError not_found in docker's words.
 */
export function networkOf(
  { networks }: Pick<EngineContext, "networks">,
  name: string,
  settings: EndpointSettings,
): Network {
  const reference = settings.NetworkID || name;
  try {
    return networks.find(reference);
  } catch (error) {
    if (!isEngineError(error, "not_found")) throw error;
    throw new EngineError("not_found", `failed to set up container networking: network ${reference} not found`, {
      hint: `network ${name}, which the container is on, was removed: docker network disconnect ${name} CONTAINER`,
      cause: error,
    });
  }
}

export function endpointRequest(
  context: Pick<EngineContext, "containers">,
  container: Container,
  network: Network,
  settings: EndpointSettings,
): EndpointRequest {
  const { IPAMConfig, MacAddress, DriverOpts, GwPriority } = settings;
  return {
    networkId: network.id,
    ...(IPAMConfig?.IPv4Address && { ipv4: IPAMConfig.IPv4Address }),
    ...(IPAMConfig?.IPv6Address && { ipv6: IPAMConfig.IPv6Address }),
    ...(IPAMConfig?.LinkLocalIPs?.length && { linkLocal: IPAMConfig.LinkLocalIPs }),
    ...(MacAddress && { mac: MacAddress }),
    names: containerNames(container, network.name, settings),
    links: linkRequests(context, settings),
    driverOptions: DriverOpts ?? {},
    gatewayPriority: GwPriority ?? 0,
  };
}

function linkRequests(context: Pick<EngineContext, "containers">, { Links }: EndpointSettings): LinkRequest[] {
  return linkedContainers(context, Links ?? []).map(({ container, alias }) => ({ containerId: container.id, alias }));
}
