import type { EndpointResource, IpamConfig, NetworkInspect } from "../api/schema/network.ts";
import { goString } from "./template/functions.ts";
import { struct } from "./template/struct.ts";
import { goTimeOf } from "./time.ts";

/** A network with the names that its fields have in docker's templates, and printed by them as Go prints its structs. */
export function networkView(network: NetworkInspect): object {
  const { Id, Created, IPAM, ConfigFrom, Containers, Options, Labels, ...rest } = network;
  return struct(network, {
    Name: rest.Name,
    ID: Id,
    Created: { toJSON: () => Created, [goString]: () => goTimeOf(Created) },
    Scope: rest.Scope,
    Driver: rest.Driver,
    EnableIPv4: rest.EnableIPv4,
    EnableIPv6: rest.EnableIPv6,
    IPAM: struct(IPAM, {
      Driver: IPAM.Driver,
      Options: IPAM.Options ?? {},
      Config: (IPAM.Config ?? []).map(subnetView),
    }),
    Internal: rest.Internal,
    Attachable: rest.Attachable,
    Ingress: rest.Ingress,
    ConfigFrom: struct(ConfigFrom, { Network: ConfigFrom.Network }),
    ConfigOnly: rest.ConfigOnly,
    Containers: Object.fromEntries(Object.entries(Containers ?? {}).map(([id, member]) => [id, memberView(member)])),
    Options: Options ?? {},
    Labels: Labels ?? {},
    Peers: [],
    Services: {},
  });
}

function subnetView(subnet: IpamConfig): object {
  const { Subnet = "", IPRange = "", Gateway = "", AuxiliaryAddresses = {} } = subnet;
  return struct(subnet, { Subnet, IPRange, Gateway, AuxAddress: AuxiliaryAddresses });
}

function memberView(member: EndpointResource): object {
  const { Name, EndpointID, MacAddress, IPv4Address, IPv6Address } = member;
  return struct(member, { Name, EndpointID, MacAddress, IPv4Address, IPv6Address });
}
