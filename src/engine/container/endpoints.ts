/** A container's places on networks: as they are asked for, checked, and as they are stored. */
import type { EndpointSettings } from "../../api/schema/container-config.ts";
import { advice } from "../../core/advice.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import { contains, formatAddress, parseSubnet, tryParseAddress } from "../../core/ip-address.ts";
import type { Network } from "../../network/network.ts";
import type { Container } from "./container.ts";
import { parseLink } from "./links.ts";
import { formatMac } from "./mac.ts";

/** By name, id or a beginning of the id. @throws EngineError not_found, invalid_argument. */
export type FindNetwork = (reference: string) => Network;

/** What a create request says of networks. */
export interface AskedEndpoints {
  /** HostConfig.NetworkMode, not empty. */
  mode: string;
  /** NetworkingConfig.EndpointsConfig. */
  settings: Record<string, EndpointSettings>;
  /** HostConfig.Links. */
  links: readonly string[];
}

/**
 * The endpoints by their networks' names, and the network mode as it is stored: as it was written, unless that was the
 * beginning of an id. Where endpoints are given, they are all there are, as in Docker.
 * @throws EngineError invalid_argument in docker's words, not as not_found: to that its client pulls the image.
 */
export function settleEndpoints(
  asked: AskedEndpoints,
  find: FindNetwork,
): { mode: string; endpoints: Record<string, EndpointSettings> } {
  const given = Object.entries(asked.settings);
  const named = findForCreate(find, asked.mode);
  const mode = [named.name, named.id].includes(asked.mode) ? asked.mode : named.id;
  const all: [string, EndpointSettings][] = given.length > 0 ? given : [[asked.mode, {}]];
  const found = all.map(([reference, settings]) => ({
    reference,
    settings,
    network: findForCreate(find, reference === "default" ? "bridge" : settings.NetworkID || reference),
  }));
  const endpoints: Record<string, EndpointSettings> = {};
  for (const { reference, settings, network } of found) {
    if (Object.hasOwn(endpoints, network.name)) {
      throw invalid(`NetworkingConfig.EndpointsConfig has network ${network.name} twice, as ${reference} too`);
    }
    // Clients name links of users' networks where those of the default bridge stand: older ones there alone.
    const links = network.id === named.id && !network.isBuiltIn ? asked.links : [];
    const wish = {
      ...settings,
      ...(links.length > 0 && { Links: [...new Set([...(settings.Links ?? []), ...links])] }),
    };
    try {
      endpoints[network.name] = settleEndpoint(wish, network);
    } catch (error) {
      if (!isEngineError(error, "invalid_argument")) throw error;
      throw invalid(`invalid config for network ${reference}: ${error.message}`, error);
    }
  }
  checkTogether(found.map(({ network }) => network));
  return { mode, endpoints };
}

/** @throws EngineError invalid_argument in docker's words, where there is no interface of the container's own. */
export function checkMacAddress(mode: string, settings: Record<string, EndpointSettings>): void {
  const isShared = mode === "host" || mode.startsWith("container:");
  if (!isShared || !Object.values(settings).some(({ MacAddress }) => MacAddress)) return;
  throw invalid("conflicting options: mac-address and the network mode");
}

function findForCreate(find: FindNetwork, reference: string): Network {
  try {
    return find(reference === "default" ? "bridge" : reference);
  } catch (error) {
    if (!isEngineError(error, "not_found")) throw error;
    throw invalid(`network ${reference} not found`, error);
  }
}

export const sharedNamespace =
  "container sharing network namespace with another container or host cannot be connected to any other network";

/** @throws EngineError invalid_argument in docker's words, when a container cannot be on all of these networks. */
export function checkTogether(networks: readonly Network[]): void {
  if (networks.length < 2) return;
  if (networks.some(({ driver }) => driver === "host")) {
    throw invalid(sharedNamespace);
  }
  if (networks.some(({ driver, isBuiltIn }) => driver === "null" && isBuiltIn)) {
    throw invalid("container cannot be connected to multiple networks with one of the networks in private (none) mode");
  }
}

/**
 * One endpoint as it is stored: what was wished, in canonical form, and the network's id.
 * @throws EngineError invalid_argument in docker's words with all that is wrong; forbidden for a network that is only a
 *   configuration.
 */
export function settleEndpoint(settings: EndpointSettings, network: Network): EndpointSettings {
  if (network.configOnly) {
    throw new EngineError(
      "forbidden",
      `cannot connect a container to network ${network.name}: it is a configuration-only network`,
    );
  }
  const wrong: string[] = [];
  const ipam = settleIpam(settings, network, wrong);
  if (network.isBuiltIn && settings.Aliases?.length) {
    wrong.push("network-scoped alias is supported only for containers in user defined networks");
  }
  const mac = settings.MacAddress ? formatMac(settings.MacAddress) : undefined;
  if (settings.MacAddress && mac === undefined) wrong.push(`invalid MAC address ${settings.MacAddress}`);
  for (const link of settings.Links ?? []) parseLink(link);
  wrong.push(...wrongSysctls(settings.DriverOpts ?? {}));
  if (wrong.length > 0) {
    const list = wrong.length === 1 ? wrong[0]! : wrong.map((text) => `* ${text}`).join("\n");
    throw invalid(
      `invalid endpoint settings:\n${list}`,
      undefined,
      wrong.includes(notOwn) ? advice.ownAddress : undefined,
    );
  }
  return {
    ...(ipam !== undefined && { IPAMConfig: ipam }),
    ...(settings.Links?.length && { Links: settings.Links }),
    ...(settings.Aliases?.length && { Aliases: settings.Aliases }),
    ...(mac !== undefined && { MacAddress: mac }),
    ...(settings.DriverOpts && { DriverOpts: settings.DriverOpts }),
    ...(settings.GwPriority && { GwPriority: settings.GwPriority }),
    NetworkID: network.id,
  };
}

const notOwn = "user specified IP address is supported on user defined networks only";

type IpamConfig = NonNullable<EndpointSettings["IPAMConfig"]>;

function settleIpam({ IPAMConfig }: EndpointSettings, network: Network, wrong: string[]): IpamConfig | undefined {
  if (!IPAMConfig) return undefined;
  const { IPv4Address: ipv4, IPv6Address: ipv6, LinkLocalIPs: linkLocal } = IPAMConfig;
  if ((ipv4 || ipv6) && network.isBuiltIn) {
    wrong.push(notOwn);
  }
  const settled: IpamConfig = {};
  for (const [family, field, text] of [
    [4, "IPv4Address", ipv4],
    [6, "IPv6Address", ipv6],
  ] as const) {
    if (!text) continue;
    const address = tryParseAddress(text);
    if (address?.family !== family || address.value === 0n) {
      wrong.push(`invalid IPv${family} address: ${text}`);
    } else if (!network.isBuiltIn) {
      const reason = whyNotInside(text, network);
      if (reason !== undefined) wrong.push(reason);
      settled[field] = formatAddress(address);
    }
  }
  const addresses = (linkLocal ?? []).map((text) => {
    const address = tryParseAddress(text);
    if (address === undefined || address.value === 0n) wrong.push(`invalid link-local IP address: ${text}`);
    return address === undefined ? text : formatAddress(address);
  });
  if (addresses.length > 0) settled.LinkLocalIPs = addresses;
  return Object.keys(settled).length > 0 ? settled : undefined;
}

function whyNotInside(text: string, { subnets }: Network): string | undefined {
  const address = tryParseAddress(text)!;
  const configured = subnets
    .filter(({ isConfigured }) => isConfigured)
    .map(({ subnet }) => parseSubnet(subnet))
    .filter(({ family }) => family === address.family);
  if (configured.length === 0) {
    return "user specified IP address is supported only when connecting to networks with user configured subnets";
  }
  if (configured.some((subnet) => contains(subnet, address))) return undefined;
  return `no configured subnet or ip-range contain the IP address ${text}`;
}

const sysctlsOption = "com.docker.network.endpoint.sysctls";

/** `net.ipv4.conf.IFNAME.log_martians=1,…`: only what belongs to the interface. */
function wrongSysctls(options: Record<string, string>): string[] {
  const sysctls = options[sysctlsOption]?.split(",") ?? [];
  return sysctls
    .filter((sysctl) => !/^[^.]+\.(ipv4|ipv6|mpls)\.[^.]+\.(IFNAME|ifname)\..+$/.test(sysctl))
    .map(
      (sysctl) =>
        `unrecognised network interface sysctl '${sysctl}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', ` +
        "'X' must be 'ipv4', 'ipv6' or 'mpls'",
    );
}

/** Docker's own networks; containers have no names there. */
const builtInNames = ["bridge", "host", "none"];

/**
 * What others on a user-defined network find the container by; the first is what its address stands for.
 * @param network the network's name.
 */
export function containerNames(
  { id, name, definition }: Pick<Container, "id" | "name" | "definition">,
  network: string,
  { Aliases }: EndpointSettings,
): string[] {
  if (builtInNames.includes(network)) return [];
  const names = [name, ...(Aliases ?? []), shortId(id), definition.config.Hostname ?? ""];
  return [...new Set(names)].filter((each) => each !== "");
}

function invalid(message: string, cause?: unknown, hint?: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create", cause, ...(hint && { hint }) });
}
