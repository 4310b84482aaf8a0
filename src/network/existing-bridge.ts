/** What a bridge that is there already means for the subnets of a network that is put on it. */
import { type Address, contains, type Family, formatAddress, overlaps, subnetOf, tryParseSubnet } from "./address.ts";
import { prefixLengthMax } from "./ipam.ts";
import type { SubnetRequest } from "./network.ts";
import type { Obstacle } from "./obstacles.ts";

/** One that a bridge has before it is tsd's to add any. */
export interface OwnAddress {
  address: Address;
  prefixLength: number;
}

export interface ExistingBridge {
  /** Without link-local ones. */
  addresses: readonly OwnAddress[];
  /** What of the host is in a subnet's way that is meant for this bridge: not the bridge itself. */
  obstacles: readonly Obstacle[];
}

/** The host is the gateway: where the bridge has an address of the subnet already, by that one. */
export function withOwnGateways(
  requests: readonly SubnetRequest[],
  addresses: readonly OwnAddress[],
): readonly SubnetRequest[] {
  return requests.map((request) => {
    const subnet = tryParseSubnet(request.subnet ?? "");
    if (subnet === undefined || request.gateway) return request;
    const own = addresses.find(({ address }) => address.family === subnet.family && contains(subnet, address));
    return own === undefined ? request : { ...request, gateway: formatAddress(own.address) };
  });
}

/**
 * The address, with its subnet, that the default network has of a bridge which was named to the daemon. As in Docker: of
 * several IPv4 ones the first, or that of the range; of IPv6 only that of the range, for link and prefix are others'.
 */
export function chooseOwnAddress(
  family: Family,
  range: string | undefined,
  addresses: readonly OwnAddress[],
): OwnAddress | undefined {
  const within = range === undefined ? undefined : tryParseSubnet(range);
  const usable = addresses.filter(
    ({ address, prefixLength }) => address.family === family && prefixLength <= prefixLengthMax[family],
  );
  if (within === undefined) return family === 4 ? usable[0] : undefined;
  return usable.find(({ address, prefixLength }) => overlaps(within, subnetOf(address, prefixLength)));
}
