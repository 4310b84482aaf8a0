/** Which of a container's networks leads to everywhere else. */
import { contains, type Family, parseAddress, parseSubnet } from "./address.ts";
import { defaultGatewayNames } from "./default-bridge.ts";
import { isStacked, routesByDevice, stackedOptions } from "./driver/parent-options.ts";
import type { DefaultRoute } from "./namespace.ts";
import type { Network } from "./network.ts";
import type { EndpointRecord } from "./records.ts";

export interface RoutedEndpoint {
  record: EndpointRecord;
  network: Network;
  /** Of the device: the interface itself is the way. */
  routesWithoutGateway: boolean;
}

/**
 * The default routes, one of each family where there is a way. As in Docker the endpoint with the highest priority has
 * them; of those with the same one that leads out on both families; of those the one whose network's name comes first.
 * Internal networks lead nowhere.
 */
export function chooseDefaultRoutes(endpoints: readonly RoutedEndpoint[]): DefaultRoute[] {
  const routes = inOrderOfPreference(endpoints).flatMap(waysOut);
  return ([4, 6] as const).flatMap((family) => routes.find((route) => route.family === family) ?? []);
}

/** The order in which endpoints are asked for the way out. */
export function inOrderOfPreference(endpoints: readonly RoutedEndpoint[]): RoutedEndpoint[] {
  const hasBoth = new Map(endpoints.map((endpoint) => [endpoint, waysOut(endpoint).length === 2]));
  return endpoints.toSorted((a, b) => {
    const byPriority = b.record.wishes.gatewayPriority - a.record.wishes.gatewayPriority;
    if (byPriority !== 0) return byPriority;
    const byFamilies = Number(hasBoth.get(b)) - Number(hasBoth.get(a));
    if (byFamilies !== 0) return byFamilies;
    return a.network.name < b.network.name ? -1 : 1;
  });
}

function waysOut({ record, network, routesWithoutGateway }: RoutedEndpoint): DefaultRoute[] {
  if (network.internal || record.interface === undefined) return [];
  const routes: DefaultRoute[] = [];
  for (const family of [4, 6] as const) {
    if ((family === 4 ? record.ipv4 : record.ipv6) === undefined) continue;
    const gateway = gatewayOf(record, network, family);
    if (gateway === undefined && !routesWithoutGateway) continue;
    const via = gateway === undefined ? {} : { gateway: parseAddress(gateway) };
    routes.push({ family, interface: record.interface, ...via });
  }
  return routes;
}

/**
 * The gateway of the subnet that the endpoint's address of that family is of; an auxiliary address of that name takes
 * its place, as with Docker.
 */
export function gatewayOf(record: EndpointRecord, network: Network, family: Family): string | undefined {
  const address = family === 4 ? record.ipv4 : record.ipv6;
  if (address === undefined || network.internal) return undefined;
  if (isStacked(network.driver) && routesByDevice(stackedOptions(network.driver, network))) return undefined;
  const parsed = parseAddress(address.address);
  const found = network.subnets.find(({ subnet }) => contains(parseSubnet(subnet), parsed));
  return found?.auxiliaryAddresses?.[defaultGatewayNames[family]] ?? found?.gateway;
}

export function isSameRoute(a: DefaultRoute, b: DefaultRoute): boolean {
  return a.family === b.family && a.interface === b.interface && a.gateway?.value === b.gateway?.value;
}
