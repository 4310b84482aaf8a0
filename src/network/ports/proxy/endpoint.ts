import type { SocketAddress } from "../../../../ffi/socket/address.ts";
import { addressBytes, parseAddress } from "../../../core/ip-address.ts";
import type { Endpoint } from "./protocol.ts";

/** @throws EngineError invalid_argument for what is no address. */
export function socketAddressOf({ address, port }: Endpoint): SocketAddress {
  return { address: addressBytes(parseAddress(address)), port };
}

export function shownEndpoint({ address, port }: Endpoint): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}
