/** Reads the bodies of the network routes. */
import type * as v from "valibot";
import { endpoint } from "./create-request.ts";
import { flag, list, optional, read, struct, text, textMap } from "./go-json.ts";
import type { NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest } from "./network.ts";

const subnet = struct({
  Subnet: optional(text),
  IPRange: optional(text),
  Gateway: optional(text),
  AuxiliaryAddresses: optional(textMap),
});

const createRequest: v.GenericSchema<unknown, NetworkCreateRequest> = struct({
  Name: optional(text, ""),
  Driver: optional(text),
  Scope: optional(text),
  EnableIPv4: optional(flag),
  EnableIPv6: optional(flag),
  IPAM: optional(struct({ Driver: optional(text), Options: optional(textMap), Config: optional(list(subnet)) })),
  Internal: optional(flag),
  Attachable: optional(flag),
  Ingress: optional(flag),
  ConfigOnly: optional(flag),
  ConfigFrom: optional(struct({ Network: optional(text) })),
  Options: optional(textMap),
  Labels: optional(textMap),
});

const connectRequest: v.GenericSchema<unknown, NetworkConnectRequest> = struct({
  Container: optional(text, ""),
  EndpointConfig: optional(endpoint),
});

const disconnectRequest: v.GenericSchema<unknown, NetworkDisconnectRequest> = struct({
  Container: optional(text, ""),
  Force: optional(flag),
});

/** @throws EngineError invalid_argument that names the field, as all of these. */
export function readNetworkCreateRequest(body: unknown): NetworkCreateRequest {
  return read(createRequest, body);
}

export function readNetworkConnectRequest(body: unknown): NetworkConnectRequest {
  return read(connectRequest, body);
}

export function readNetworkDisconnectRequest(body: unknown): NetworkDisconnectRequest {
  return read(disconnectRequest, body);
}
