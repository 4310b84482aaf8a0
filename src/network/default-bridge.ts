/** The subnets of the default bridge: what the daemon was told, else what they were, else what is free. */
import { EngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import {
  type Family,
  formatAddress,
  formatSubnet,
  parseSubnet,
  subnetOf,
  tryParseAddress,
  tryParseSubnet,
} from "./address.ts";
import { chooseOwnAddress, type OwnAddress } from "./existing-bridge.ts";
import { isOfPools, type Pool } from "./ipam.ts";
import type { Network, NetworkSubnet, SubnetRequest } from "./network.ts";
import { type Obstacle, obstacleTo } from "./obstacles.ts";
import { obstaclesOfNetworks, planSubnets } from "./plan-subnets.ts";

/** Docker's flags of the default bridge, as text. */
export interface DefaultBridgeAddresses {
  /** `--bip`: the bridge's own address with its prefix length, `172.30.0.1/16`. */
  address?: string | undefined;
  /** `--bip6` */
  address6?: string | undefined;
  /** `--fixed-cidr`: where containers' addresses come from; the subnet itself where there is no address. */
  range?: string | undefined;
  /** `--fixed-cidr-v6` */
  range6?: string | undefined;
  /** `--default-gateway`: containers' way out, where that is not the bridge. */
  gateway?: string | undefined;
  /** `--default-gateway-v6` */
  gateway6?: string | undefined;
}

/**
 * Auxiliary addresses by these names are the gateways of containers in the bridge's place, as in Docker's own
 * inspection of the default bridge.
 */
export const defaultGatewayNames = { 4: "DefaultGatewayIPv4", 6: "DefaultGatewayIPv6" } as const;

/**
 * What of each family the daemon was told, or follows from the bridge that it was told of, if anything.
 * @param own the addresses of a bridge that is not tsd's; absent: it is not known yet whether there is one.
 * @throws EngineError invalid_argument that names the flag, or the network.
 */
export function defaultBridgeRequests(
  told: DefaultBridgeAddresses,
  own?: readonly OwnAddress[],
): { 4?: SubnetRequest; 6?: SubnetRequest } {
  const ipv4 = requestOf(4, { address: told.address, range: told.range, gateway: told.gateway }, own);
  const ipv6 = requestOf(6, { address: told.address6, range: told.range6, gateway: told.gateway6 }, own);
  const requests = { ...(ipv4 !== undefined && { 4: ipv4 }), ...(ipv6 !== undefined && { 6: ipv6 }) };
  // Reads them all.
  planSubnets({ name: "bridge", driver: "null", families: undefined, requests: Object.values(requests) }, nothing);
  return requests;
}

const nothing = { networks: [], obstacles: [], pools: [] };

interface Told {
  address: string | undefined;
  range: string | undefined;
  gateway: string | undefined;
}

function requestOf(family: Family, told: Told, bridges: readonly OwnAddress[] | undefined): SubnetRequest | undefined {
  const flag = (name: string): string => (family === 4 ? `--${name}` : ({ bip: "--bip6" }[name] ?? `--${name}-v6`));
  const own = told.address === undefined ? undefined : tryParseSubnet(told.address);
  if (told.address !== undefined && own?.family !== family) throw wrong(flag("bip"), told.address, family);
  const range = told.range === undefined ? undefined : tryParseSubnet(told.range);
  if (told.range !== undefined && range?.family !== family) throw wrong(flag("fixed-cidr"), told.range, family);
  const has = own === undefined ? chooseOwnAddress(family, told.range, bridges ?? []) : undefined;
  const bridged = has === undefined ? undefined : subnetOf(has.address, has.prefixLength);
  const isWider = bridged !== undefined && range !== undefined && range.prefixLength < bridged.prefixLength;
  const subnet = own ?? (isWider ? range : (bridged ?? range));
  if (told.gateway !== undefined && tryParseAddress(told.gateway)?.family !== family) {
    throw new EngineError(
      "invalid_argument",
      `${flag("default-gateway")} ${told.gateway}: not an IPv${family} address`,
    );
  }
  if (subnet === undefined) {
    if (told.gateway === undefined || bridges === undefined) return undefined;
    const text = `${flag("default-gateway")} ${told.gateway}: its subnet is not known`;
    throw new EngineError("invalid_argument", text, { hint: `give the bridge an address with ${flag("bip")}` });
  }
  return {
    subnet: formatSubnet(subnet),
    ...(told.address !== undefined && { gateway: told.address.slice(0, told.address.indexOf("/")) }),
    ...(has !== undefined && { gateway: formatAddress(has.address) }),
    ...(range !== undefined && formatSubnet(range) !== formatSubnet(subnet) && { ipRange: formatSubnet(range) }),
    // Of a bridge that is not known yet it may be.
    ...(told.gateway !== undefined &&
      (own ?? bridges) !== undefined && { auxiliaryAddresses: { [defaultGatewayNames[family]]: told.gateway } }),
  };
}

function wrong(flag: string, text: string, family: Family): EngineError {
  const example = family === 4 ? "172.30.0.1/16" : "fd00:1::1/64";
  return new EngineError(
    "invalid_argument",
    `${flag} ${text}: not an IPv${family} address with a prefix length (${example})`,
  );
}

export interface DefaultBridgeInput {
  /** See defaultBridgeRequests. */
  told: { 4?: SubnetRequest; 6?: SubnetRequest };
  families: { ipv4: boolean; ipv6: boolean };
  pools: readonly Pool[];
  /** What the network had last. */
  stored: readonly NetworkSubnet[];
  /** Containers have addresses of it now. */
  inUse: boolean;
  /** All others. */
  networks: readonly Network[];
  /** Without the bridge's own. */
  obstacles: readonly Obstacle[];
}

/**
 * What the daemon was told; else what the network had, unless something on the host has come into its way since; else
 * the first that is free. Under containers nothing changes, but a family that was missing is added, and none goes.
 * @throws EngineError conflict that names what is in the way.
 */
export function planDefaultBridge(input: DefaultBridgeInput): NetworkSubnet[] {
  return ([4, 6] as const).flatMap((family) => {
    const isWanted = family === 4 ? input.families.ipv4 : input.families.ipv6;
    const stays = input.inUse && storedOf(family, input) !== undefined;
    return isWanted || stays ? subnetOfFamily(family, input) : [];
  });
}

function storedOf(family: Family, { stored }: DefaultBridgeInput): NetworkSubnet | undefined {
  return stored.find(({ subnet }) => parseSubnet(subnet).family === family);
}

function subnetOfFamily(family: Family, input: DefaultBridgeInput): NetworkSubnet {
  const stored = storedOf(family, input);
  const told = input.told[family];
  if (stored !== undefined && input.inUse) return inUse(stored, told, input);
  const plan = (request: SubnetRequest): NetworkSubnet => {
    const families = { ipv4: family === 4, ipv6: family === 6 };
    return planSubnets({ name: "bridge", driver: "bridge", families, requests: [request] }, input)[0]!;
  };
  if (told !== undefined) return plan(told);
  if (stored !== undefined && stored.isConfigured !== true) {
    const subnet = parseSubnet(stored.subnet);
    const obstacle = obstacleTo(subnet, [...obstaclesOfNetworks(input.networks), ...input.obstacles]);
    if (obstacle === undefined && isOfPools(subnet, input.pools)) return stored;
    const chosen = plan({});
    if (obstacle !== undefined) {
      log(
        "warn",
        `network bridge moves to ${chosen.subnet}: its subnet ${stored.subnet} overlaps with ${obstacle.what}`,
      );
    }
    return chosen;
  }
  return plan({});
}

/** What running containers have stays; a new gateway or range would hold for some of them only. */
function inUse(stored: NetworkSubnet, told: SubnetRequest | undefined, input: DefaultBridgeInput): NetworkSubnet {
  if (told !== undefined && (told.subnet !== stored.subnet || isOther(told.gateway, stored.gateway))) {
    const wanted = told.gateway === undefined ? told.subnet : `${told.subnet} with gateway ${told.gateway}`;
    throw new EngineError("conflict", `network bridge cannot move to ${wanted} while containers use ${stored.subnet}`, {
      hint: "stop the containers on the bridge first",
    });
  }
  const obstacle = obstacleTo(parseSubnet(stored.subnet), input.obstacles);
  if (obstacle !== undefined) {
    log("warn", `subnet ${stored.subnet} of running containers overlaps with ${obstacle.what}`);
  }
  return stored;
}

function isOther(told: string | undefined, stored: string | undefined): boolean {
  const address = told === undefined ? undefined : tryParseAddress(told);
  return address !== undefined && formatAddress(address) !== stored;
}
