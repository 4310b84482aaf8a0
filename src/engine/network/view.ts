/** Networks as the Engine API shows them. */
import type { EndpointResource, Ipam, NetworkInspect } from "../../api/schema/network.ts";
import { inKeyOrder } from "../../core/key-order.ts";
import type { Network, NetworkMember, NetworkSubnet, SubnetStatus } from "../../network/network.ts";

/** What is said of a network beside its own record. */
export interface NetworkFacts {
  /** Containers that run on it. */
  members: readonly NetworkMember[];
  /** Addresses taken and free, by subnet. */
  status: readonly SubnetStatus[];
  containerName(id: string): string;
}

export function networkView(network: Network, facts: NetworkFacts): NetworkInspect {
  const { status, members, containerName } = facts;
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt,
    Scope: "local",
    Driver: network.driver,
    EnableIPv4: network.enableIpv4,
    EnableIPv6: network.enableIpv6,
    IPAM: ipamView(network),
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: false,
    ConfigFrom: { Network: network.configFrom ?? "" },
    ConfigOnly: network.configOnly,
    Options: inKeyOrder(optionsView(network)),
    Labels: inKeyOrder(network.labels),
    Containers: inKeyOrder(
      Object.fromEntries(
        members.map((member) => [member.containerId, memberView(member, containerName(member.containerId))]),
      ),
    ),
    Status: {
      IPAM: {
        Subnets: inKeyOrder(
          Object.fromEntries(
            status.map(({ subnet, inUse, available }) => [subnet, { IPsInUse: inUse, DynamicIPsAvailable: available }]),
          ),
        ),
      },
    },
  };
}

function ipamView({ ipamDriver, ipamOptions, subnets, isBuiltIn }: Network): Ipam {
  return {
    Driver: ipamDriver,
    // Docker never asked anybody for those of its own networks.
    Options: isBuiltIn ? null : inKeyOrder(ipamOptions),
    Config: subnets.map(({ subnet, ipRange, gateway, auxiliaryAddresses }: NetworkSubnet) => ({
      Subnet: subnet,
      ...(ipRange !== undefined && { IPRange: ipRange }),
      ...(gateway !== undefined && { Gateway: gateway }),
      ...(auxiliaryAddresses !== undefined &&
        Object.keys(auxiliaryAddresses).length > 0 && { AuxiliaryAddresses: inKeyOrder(auxiliaryAddresses) }),
    })),
  };
}

/** Of the default bridge Docker shows what it would have been made with. */
function optionsView({ isBuiltIn, driver, device, options }: Network): Record<string, string> {
  if (!isBuiltIn || driver !== "bridge") return options;
  return {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    ...(device !== undefined && { "com.docker.network.bridge.name": device }),
    "com.docker.network.driver.mtu": "1500",
    ...options,
  };
}

function memberView({ endpointId, mac, ipv4, ipv6 }: NetworkMember, name: string): EndpointResource {
  return { Name: name, EndpointID: endpointId, MacAddress: mac, IPv4Address: ipv4, IPv6Address: ipv6 };
}
