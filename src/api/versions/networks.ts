/** Networks as a client of a given API version expects to read them, and what it means by its requests. */
import type { EndpointSettings } from "../schema/container-config.ts";
import type { NetworkCreateRequest, NetworkInspect } from "../schema/network.ts";

/** Until 1.27 a list told of the containers too, until 1.51 it had an empty place for them. */
export function networkSummaryOf(network: NetworkInspect, api: number): object {
  const { Containers, Options, Labels, Status: _, ...summary } = network;
  const containers = api < 28 ? { Containers } : api < 52 && { Containers: {} };
  return { ...summary, ...containers, Options, Labels };
}

/** Docker's clients print it in the order in which it comes, which is another one since 1.52. */
export function networkInspectOf(network: NetworkInspect, api: number): object {
  const { Status, ...rest } = network;
  if (api < 52) {
    const { Options, Labels, Containers, ...before } = rest;
    return { ...before, Containers, Options, Labels };
  }
  if (Status === undefined) return rest;
  const subnets = Object.entries(Status.IPAM.Subnets).map(([subnet, { IPsInUse, DynamicIPsAvailable }]) => [
    subnet,
    { IPsInUse: uint64(IPsInUse), DynamicIPsAvailable: uint64(DynamicIPsAvailable) },
  ]);
  return { ...rest, Status: { IPAM: { Subnets: Object.fromEntries(subnets) } } };
}

const uint64Max = 2n ** 64n - 1n;

/** As a number of JSON, which is beyond what a double holds. */
function uint64(value: bigint): unknown {
  return JSON.rawJSON((value > uint64Max ? uint64Max : value).toString());
}

export function networkCreateRequestOf(request: NetworkCreateRequest, api: number): NetworkCreateRequest {
  if (api >= 48) return request;
  const { EnableIPv4: _, ...older } = request;
  return leavesIpv6Open(request) ? { ...older, EnableIPv6: false } : older;
}

/**
 * Until 1.47 absence was false, in Go's clients, which always say it, as in Python's, which leave it out: docker-compose
 * 1.29.2 refuses a network whose IPv6 it has not asked for.
 */
function leavesIpv6Open({ EnableIPv6, Options = {}, IPAM }: NetworkCreateRequest): boolean {
  if (EnableIPv6 !== undefined || Object.hasOwn(Options, "com.docker.network.enable_ipv6")) return false;
  return !IPAM?.Config?.some(({ Subnet = "" }) => Subnet.includes(":"));
}

/** Until 1.53 connect took no notice of MacAddress, whatever clients wrote there. */
export function connectedEndpointOf(endpoint: EndpointSettings, api: number): EndpointSettings {
  const { MacAddress, GwPriority, ...rest } = endpoint;
  return {
    ...rest,
    ...(api >= 54 && MacAddress !== undefined && { MacAddress }),
    ...(api >= 48 && GwPriority !== undefined && { GwPriority }),
  };
}
