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
  const bytes = [0x02, 0x42, ...addressBytes(address).slice(-4)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
