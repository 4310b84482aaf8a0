/** Which subnet a bridge has, and its own address in it. */
import { EngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { type Address, formatAddress, formatSubnet, parseAddress, parseSubnet, type Subnet } from "./address.ts";
import { AddressPool } from "./address-pool.ts";
import { checkSubnet, chooseSubnet, gatewayOf, isOfPools, type Pool } from "./ipam.ts";
import { type Obstacle, obstacleTo } from "./obstacles.ts";

export interface BridgeAddressing {
  subnet: Subnet;
  gateway: Address;
}

export function describeAddressing({ subnet, gateway }: BridgeAddressing): { subnet: string; gateway: string } {
  return { subnet: formatSubnet(subnet), gateway: formatAddress(gateway) };
}

function equal(a: BridgeAddressing, b: BridgeAddressing): boolean {
  return JSON.stringify(describeAddressing(a)) === JSON.stringify(describeAddressing(b));
}

/** `172.30.0.1/16`: the gateway and its subnet. @throws EngineError invalid_argument */
export function parseBridgeAddress(text: string): BridgeAddressing {
  const subnet = parseSubnet(text);
  const gateway = parseAddress(text.slice(0, text.indexOf("/")));
  if (subnet.family !== 4 || subnet.prefixLength > 30) {
    const reason = "an IPv4 subnet of at least 4 addresses is needed";
    throw new EngineError("invalid_argument", `bridge address ${text}: ${reason}`);
  }
  // Refuses the subnet's own address and the broadcast address.
  new AddressPool(subnet, [gateway]);
  return { subnet, gateway };
}

export interface AddressingInput {
  /** The network's name, for errors. */
  network: string;
  /** What the daemon was told. */
  fixed: BridgeAddressing | undefined;
  pools: readonly Pool[];
  /** What the network had last. */
  stored: BridgeAddressing | undefined;
  /** Containers have addresses of it now. */
  inUse: boolean;
  obstacles: readonly Obstacle[];
}

/**
 * What the daemon was told; else what the network had, unless something on the host has come into its way since; else
 * the first that is free. Under containers nothing changes.
 * @throws EngineError conflict that names what is in the way.
 */
export function chooseAddressing(input: AddressingInput): BridgeAddressing {
  const { fixed, stored, obstacles, network } = input;
  if (stored !== undefined && input.inUse) return addressingInUse(network, stored, fixed, obstacles);
  if (fixed !== undefined) {
    checkSubnet(network, fixed.subnet, obstacles);
    return fixed;
  }
  const obstacle = stored && obstacleTo(stored.subnet, obstacles);
  if (stored !== undefined && obstacle === undefined && isOfPools(stored.subnet, input.pools)) return stored;
  const subnet = chooseSubnet(network, input.pools, obstacles);
  if (obstacle !== undefined) {
    log("warn", `network ${network} moves to ${formatSubnet(subnet)}: its subnet overlaps with ${obstacle.what}`);
  }
  return { subnet, gateway: gatewayOf(subnet) };
}

function addressingInUse(
  network: string,
  stored: BridgeAddressing,
  fixed: BridgeAddressing | undefined,
  obstacles: readonly Obstacle[],
): BridgeAddressing {
  const { subnet } = describeAddressing(stored);
  if (fixed !== undefined && !equal(fixed, stored)) {
    const wanted = `${formatAddress(fixed.gateway)}/${fixed.subnet.prefixLength}`;
    throw new EngineError("conflict", `network ${network} cannot move to ${wanted} while containers use ${subnet}`, {
      hint: "stop the containers on the bridge first",
    });
  }
  const obstacle = obstacleTo(stored.subnet, obstacles);
  if (obstacle !== undefined) log("warn", `subnet ${subnet} of running containers overlaps with ${obstacle.what}`);
  return stored;
}
