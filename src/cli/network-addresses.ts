import type { IpamConfig } from "../api/schema/network.ts";
import { EngineError } from "../core/errors.ts";
import { type Address, contains, overlaps, parseSubnet, type Subnet, tryParseAddress } from "../core/ip-address.ts";

/** `--subnet`, `--ip-range`, `--gateway` and `--aux-address` of `network create`, each a list for all the subnets. */
export interface AddressFlags {
  subnets: readonly string[];
  ranges: readonly string[];
  gateways: readonly string[];
  /** By name. */
  auxiliary: Readonly<Record<string, string>>;
}

/**
 * Finds for each range, gateway and auxiliary address the subnet that it lies in.
 * @throws EngineError invalid_argument in docker's words, for what lies in none or is one too many.
 */
export function subnetConfigs({ subnets, ranges, gateways, auxiliary }: AddressFlags): IpamConfig[] {
  if (subnets.length < Math.max(ranges.length, gateways.length)) {
    throw invalid("every ip-range or gateway must have a corresponding subnet");
  }
  // A subnet that nothing has to be found for is the daemon's to judge.
  const hasParts = subnets.length > 1 || ranges.length + gateways.length + Object.keys(auxiliary).length > 0;
  const configs: IpamConfig[] = subnets.map((Subnet) => ({ Subnet }));
  if (!hasParts) return configs;
  const parsed = subnets.map(readSubnet);
  if (parsed.some((one, index) => parsed.slice(0, index).some((other) => overlaps(one, other)))) {
    throw invalid("multiple overlapping subnet configuration is not supported");
  }
  const configOf = (address: Address | undefined) =>
    configs.find((_, index) => address !== undefined && contains(parsed[index]!, address));

  for (const range of ranges) {
    const config = configOf(rangeAddress(range));
    if (config === undefined) throw invalid(`no matching subnet for range ${range}`);
    refuseSecond("ranges", "on the same subnet", range, config.IPRange, config.Subnet);
    config.IPRange = range;
  }
  for (const gateway of gateways) {
    const config = configOf(addressOf(gateway));
    if (config === undefined) throw invalid(`no matching subnet for gateway ${gateway}`);
    refuseSecond("gateways", "for the same subnet", gateway, config.Gateway, config.Subnet);
    config.Gateway = gateway;
  }
  for (const [name, address] of Object.entries(auxiliary)) {
    const config = configOf(addressOf(address));
    if (config === undefined) throw invalid(`no matching subnet for aux-address ${address}`);
    config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
  }
  return configs;
}

function readSubnet(text: string): Subnet {
  try {
    return parseSubnet(text);
  } catch (cause) {
    throw new EngineError("invalid_argument", `invalid subnet: invalid CIDR address: ${text}`, { cause });
  }
}

function refuseSecond(what: string, where: string, value: string, other: string | undefined, subnet?: string): void {
  if (other !== undefined) throw invalid(`cannot configure multiple ${what} (${value}, ${other}) ${where} (${subnet})`);
}

/** With or without a prefix length. */
function addressOf(text: string): Address | undefined {
  return text.includes("/") ? rangeAddress(text) : tryParseAddress(text);
}

function rangeAddress(text: string): Address | undefined {
  try {
    parseSubnet(text);
  } catch (cause) {
    throw new EngineError("invalid_argument", `invalid CIDR address: ${text}`, { cause });
  }
  return tryParseAddress(text.slice(0, text.indexOf("/")));
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
