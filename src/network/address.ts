/** Addresses, and what tsd makes of them on its networks. */
import { type Address, addressBytes } from "../core/ip-address.ts";

export {
  type Address,
  addressBytes,
  addressOf,
  broadcastAddress,
  contains,
  type Family,
  formatAddress,
  formatSubnet,
  nthAddress,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
  subnetOf,
  subnetSize,
  tryParseAddress,
  tryParseSubnet,
} from "../core/ip-address.ts";

/**
 * The locally administered MAC address 02:42 followed by the IPv4 address, as Docker derives it: whoever gets an
 * address anew gets the MAC address that the neighbours' tables have for it.
 */
export function macOf(address: Address): string {
  return textOf([0x02, 0x42, ...addressBytes(address).slice(-4)]);
}

/** A locally administered one that is nobody's, as far as chance can tell. */
export function randomMac(): string {
  return textOf([0x02, ...crypto.getRandomValues(new Uint8Array(5))]);
}

function textOf(mac: readonly number[]): string {
  return mac.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
