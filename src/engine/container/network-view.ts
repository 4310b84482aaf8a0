/** A container's networking as `inspect` and `ps` show it. */

import type { NetworkSettings, PortSummary } from "../../api/schema/container.ts";
import type { EndpointSettings, PortBinding } from "../../api/schema/container-config.ts";
import { inKeyOrder } from "../../core/key-order.ts";
import type { PublishedPort } from "../../network/ports/port.ts";
import type { Sandbox, SandboxEndpoint } from "../../network/sandbox.ts";
import type { Container } from "./container.ts";
import { containerNames } from "./endpoints.ts";
import { exposedPorts } from "./ports.ts";

/** Of one that has ended, and has not yet left its networks, nothing is shown. */
function sandboxOf({ active, sandbox }: Container): Sandbox | undefined {
  return active ? sandbox : undefined;
}

export function networkSettings(container: Container): NetworkSettings {
  const { state } = container;
  const sandbox = sandboxOf(container);
  return {
    SandboxID: sandbox?.id ?? "",
    // By its own process: that leads there after the daemon's end, too, as the daemon's descriptor does not.
    SandboxKey: sandbox !== undefined && state.status === "running" ? `/proc/${state.pid}/ns/net` : "",
    Ports: ports(container),
    Networks: containerNetworks(container),
  };
}

/** By the network's name: what was asked for, and while it runs what it was given. What is absent is none. */
export function containerNetworks(container: Container): Record<string, EndpointSettings> {
  const { definition } = container;
  const sandbox = sandboxOf(container);
  const networks = Object.fromEntries(
    Object.entries(definition.endpoints).map(([name, settings]) => {
      const given = sandbox?.endpoints.find(({ networkId }) => networkId === settings.NetworkID);
      const names = containerNames(container, name, settings);
      return [name, { ...settings, ...(names.length > 0 && { DNSNames: names }), ...givenEndpoint(given) }];
    }),
  );
  return inKeyOrder(networks);
}

function givenEndpoint(endpoint: SandboxEndpoint | undefined): EndpointSettings {
  if (endpoint === undefined) return {};
  return {
    NetworkID: endpoint.networkId,
    EndpointID: endpoint.endpointId,
    Gateway: endpoint.ipv4Gateway ?? "",
    IPAddress: endpoint.ipv4 ?? "",
    IPPrefixLen: endpoint.ipv4PrefixLength ?? 0,
    MacAddress: endpoint.mac ?? "",
    IPv6Gateway: endpoint.ipv6Gateway ?? "",
    GlobalIPv6Address: endpoint.ipv6 ?? "",
    GlobalIPv6PrefixLen: endpoint.ipv6PrefixLength ?? 0,
  };
}

/** Of a running container on a bridge: every port that it exposes, with where it is published, or null. */
function ports(container: Container): NetworkSettings["Ports"] {
  const sandbox = sandboxOf(container);
  if (sandbox === undefined || !isOnBridge(sandbox)) return {};
  const shown: Record<string, PortBinding[] | null> = {};
  for (const { port, protocol } of exposedPorts(container.definition.config.ExposedPorts ?? {})) {
    shown[`${port}/${protocol}`] = null;
  }
  for (const { transport, containerPort, hostAddress, hostPort } of sandbox.ports) {
    const key = `${containerPort}/${transport}`;
    shown[key] = [...(shown[key] ?? []), { HostIp: hostAddress, HostPort: portText(hostPort) }];
  }
  return inKeyOrder(shown);
}

export function portSummaries(container: Container): PortSummary[] {
  const sandbox = sandboxOf(container);
  if (sandbox === undefined || !isOnBridge(sandbox)) return [];
  const published = new Set(sandbox.ports.map(({ containerPort, transport }) => `${containerPort}/${transport}`));
  const exposed = exposedPorts(container.definition.config.ExposedPorts ?? {})
    .filter(({ port, protocol }) => !published.has(`${port}/${protocol}`))
    .map(({ port, protocol }) => ({ PrivatePort: port, Type: protocol }));
  return [...exposed, ...sandbox.ports.map(publishedSummary)];
}

function publishedSummary({ hostAddress, containerPort, hostPort, transport }: PublishedPort): PortSummary {
  return {
    IP: hostAddress,
    PrivatePort: containerPort,
    ...(hostPort !== 0 && { PublicPort: hostPort }),
    Type: transport,
  };
}

/** As Docker has it, "" for a port that is routed and none of the host's. */
function portText(hostPort: number): string {
  return hostPort === 0 ? "" : String(hostPort);
}

/** Other drivers have no ports, and so show none. */
function isOnBridge({ endpoints }: Sandbox): boolean {
  return endpoints.some(({ driver }) => driver === "bridge");
}
