/** What users ask for of a new network, from the Engine API's words to the network part's. */

import type { IpamConfig, NetworkCreateRequest } from "../../api/schema/network.ts";
import { notManager } from "../../api/schema/swarm.ts";
import { EngineError } from "../../core/errors.ts";
import { parseGoBool } from "../../core/go-bool.ts";
import type { NetworkRequest, SubnetRequest } from "../../network/network.ts";

/** Options by which clients before API 1.48, and `default-network-opts`, say what EnableIPv4 and EnableIPv6 say. */
const familyOptions = {
  enableIpv4: "com.docker.network.enable_ipv4",
  enableIpv6: "com.docker.network.enable_ipv6",
} as const;

/**
 * @throws EngineError forbidden in docker's words for what needs a swarm, invalid_argument for an option that is no
 *   boolean. Whether names, drivers and addresses are possible is the network part's to say.
 */
export function networkRequest(request: NetworkCreateRequest): NetworkRequest {
  const { Name: name, Driver, IPAM, ConfigFrom, Options = {} } = request;
  refuseSwarm(request);
  const enableIpv4 = request.EnableIPv4 ?? booleanOption(Options, familyOptions.enableIpv4);
  const enableIpv6 = request.EnableIPv6 ?? booleanOption(Options, familyOptions.enableIpv6);
  return {
    name,
    driver: Driver || "bridge",
    ...(enableIpv4 !== undefined && { enableIpv4 }),
    ...(enableIpv6 !== undefined && { enableIpv6 }),
    subnets: (IPAM?.Config ?? []).map(subnetRequest),
    ...(IPAM?.Driver && { ipamDriver: IPAM.Driver }),
    ...(IPAM?.Options && { ipamOptions: IPAM.Options }),
    options: Options,
    labels: request.Labels ?? {},
    internal: request.Internal ?? false,
    attachable: request.Attachable ?? false,
    configOnly: request.ConfigOnly ?? false,
    ...(ConfigFrom?.Network && { configFrom: ConfigFrom.Network }),
  };
}

function refuseSwarm({ Driver, Scope, Ingress }: NetworkCreateRequest): void {
  if (Driver === "overlay" || Scope === "swarm" || Ingress === true) throw new EngineError("forbidden", notManager);
  if (["", "local", undefined].includes(Scope)) return;
  throw new EngineError("invalid_argument", `invalid scope ${JSON.stringify(Scope)}: it is local`);
}

function subnetRequest({ Subnet, IPRange, Gateway, AuxiliaryAddresses }: IpamConfig): SubnetRequest {
  return {
    ...(Subnet && { subnet: Subnet }),
    ...(IPRange && { ipRange: IPRange }),
    ...(Gateway && { gateway: Gateway }),
    ...(AuxiliaryAddresses && { auxiliaryAddresses: AuxiliaryAddresses }),
  };
}

function booleanOption(options: Record<string, string>, name: string): boolean | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  const boolean = parseGoBool(value);
  if (boolean !== undefined) return boolean;
  throw new EngineError("invalid_argument", `driver-opt "${name}" is not a valid bool: ${JSON.stringify(value)}`);
}
