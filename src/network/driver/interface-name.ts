/** What interfaces may be called, and what tsd calls its own. */
import { interfaceNameLengthMax } from "../../../ffi/netlink/link.ts";
import { EngineError } from "../../core/errors.ts";

/** The host's ends are called veth and the beginning of the endpoint's id: 15 bytes, the most there may be. */
const hostInterfacePrefix = "veth";
const bridgePrefix = "tsd-";
const idDigits = 11;

/** @throws EngineError invalid_argument for what the kernel takes for no interface name. */
export function checkInterfaceName(name: string): string {
  if (/^[^\s/:%]+$/.test(name) && Buffer.byteLength(name) <= interfaceNameLengthMax && name !== "." && name !== "..") {
    return name;
  }
  const text = `${JSON.stringify(name)} is no name for an interface: 1 to ${interfaceNameLengthMax} bytes, no space, "/", ":" or "%"`;
  throw new EngineError("invalid_argument", text);
}

export function hostInterfaceName(endpointId: string): string {
  return `${hostInterfacePrefix}${endpointId.slice(0, idDigits)}`;
}

/** What tsd calls bridges by itself, this daemon's or another's. */
export function isOwnBridgeName(name: string): boolean {
  return /^tsd(0|-[0-9a-f]{8,11})$/.test(name);
}

/** Of a network that users made and gave no name for its bridge. */
export function bridgeName(networkId: string): string {
  return `${bridgePrefix}${networkId.slice(0, idDigits)}`;
}
