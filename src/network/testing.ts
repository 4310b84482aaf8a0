/** For tests: requests with nothing special in them. */

import type { NetworkRequest } from "./network.ts";
import type { Networks } from "./networks.ts";
import type { EndpointRequest, Sandbox, SandboxEndpoint, SandboxRequest } from "./sandbox.ts";

export function endpointRequest(networkId: string, more: Partial<EndpointRequest> = {}): EndpointRequest {
  return { networkId, names: [], links: [], driverOptions: {}, gatewayPriority: 0, ...more };
}

export function networksRequest(...endpoints: EndpointRequest[]): SandboxRequest {
  return { kind: "networks", endpoints, ports: [], dns: { servers: [], search: [], options: [] } };
}

export function networkRequest(name: string, more: Partial<NetworkRequest> = {}): NetworkRequest {
  return {
    name,
    driver: "bridge",
    subnets: [],
    options: {},
    labels: {},
    internal: false,
    attachable: false,
    configOnly: false,
    ...more,
  };
}

/** A sandbox with its first endpoint beside it. */
export interface Attached extends SandboxEndpoint {
  sandbox: Sandbox;
  namespacePath: string;
}

/** Puts a container on one network, on the default one unless another is named. */
export async function attach(
  networks: Networks,
  containerId: string,
  network = "bridge",
  more: Partial<EndpointRequest> = {},
): Promise<Attached> {
  const request = endpointRequest(networks.find(network).id, more);
  const sandbox = await networks.attach(containerId, networksRequest(request));
  return { ...sandbox.endpoints[0]!, sandbox, namespacePath: sandbox.namespacePath! };
}
