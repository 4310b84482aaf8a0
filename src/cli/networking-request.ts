import type { EndpointIpamConfig, EndpointSettings, NetworkingConfig } from "../api/schema/container-config.ts";
import { EngineError } from "../core/errors.ts";
import type { ContainerFlagValues } from "./container-flags.ts";
import { isMacAddress } from "./network-checks.ts";
import { type NetworkAttachment, parseNetworkAttachment } from "./network-flag.ts";

type NetworkingFlagValues = Pick<
  ContainerFlagValues,
  "ip" | "ip6" | "link" | "link-local-ip" | "mac-address" | "network" | "network-alias"
>;

export interface NetworkingRequest {
  /** The first network: the one that the flags of a single network are about. */
  NetworkMode: string;
  NetworkingConfig: NetworkingConfig;
}

/**
 * The networks of a container to be made. One that nothing is said of is left to its name in NetworkMode.
 * @throws EngineError invalid_argument in docker's words.
 */
export function networkingRequest(flags: NetworkingFlagValues): NetworkingRequest {
  const attachments = flags.network.length > 0 ? flags.network : [parseNetworkAttachment("default")];
  const endpoints: Record<string, EndpointSettings> = {};
  attachments.forEach((attachment, index) => {
    const { target } = attachment;
    const endpoint = endpointOf(index === 0 ? withFlags(attachment, flags) : attachment, index === 0 ? flags.link : []);
    if (Object.hasOwn(endpoints, target))
      throw invalid(`network ${JSON.stringify(target)} is specified multiple times`);
    endpoints[target] = endpoint;
  });
  const areUserDefined = new Set(attachments.map(({ target }) => isUserDefined(target)));
  if (areUserDefined.size > 1) {
    throw conflicting("cannot attach both user-defined and non-user-defined network-modes");
  }
  const { target } = attachments[0]!;
  const isPlain = attachments.length === 1 && Object.keys(endpoints[target]!).length === 0;
  return { NetworkMode: target, NetworkingConfig: { EndpointsConfig: isPlain ? {} : endpoints } };
}

/** `--ip` and the others beside `--network` are the first network's. */
function withFlags(attachment: NetworkAttachment, flags: NetworkingFlagValues): NetworkAttachment {
  const aliases = flags["network-alias"];
  const twice = (one: unknown, other: unknown, flag: string, what: string) => {
    const isGiven = (value: unknown) => (Array.isArray(value) ? value.length > 0 : value !== undefined && value !== "");
    if (isGiven(one) && isGiven(other)) throw conflicting(`cannot specify both --${flag} and per-network ${what}`);
  };
  twice(attachment.aliases, aliases, "network-alias", "alias");
  twice(attachment.ipv4, flags.ip, "ip", "IPv4 address");
  twice(attachment.ipv6, flags.ip6, "ip6", "IPv6 address");
  twice(attachment.mac, flags["mac-address"], "mac-address", "MAC address");
  twice(attachment.linkLocalIps, flags["link-local-ip"], "link-local-ip", "link-local IP addresses");
  return {
    ...attachment,
    ...(aliases.length > 0 && { aliases }),
    ...(flags.ip && { ipv4: flags.ip }),
    ...(flags.ip6 && { ipv6: flags.ip6 }),
    ...(flags["mac-address"] && { mac: flags["mac-address"] }),
    ...(flags["link-local-ip"].length > 0 && { linkLocalIps: flags["link-local-ip"] }),
  };
}

/** Links of the default bridge are the container's own, in its HostConfig. */
function endpointOf(attachment: NetworkAttachment, links: string[]): EndpointSettings {
  const { target, aliases, driverOptions, gatewayPriority, mac } = attachment;
  if (target.trim() === "") throw invalid("no name set for network");
  if (!isUserDefined(target) && aliases.length > 0) {
    throw invalid("network-scoped aliases are only supported for user-defined networks");
  }
  if (mac !== undefined && !isMacAddress(mac.trim())) throw invalid(`${mac} is not a valid mac address`);
  const ipam = ipamOf(attachment);
  return {
    ...(aliases.length > 0 && { Aliases: aliases }),
    ...(isUserDefined(target) && links.length > 0 && { Links: links }),
    ...(Object.keys(driverOptions).length > 0 && { DriverOpts: driverOptions }),
    ...(gatewayPriority !== 0 && { GwPriority: gatewayPriority }),
    ...(ipam && { IPAMConfig: ipam }),
    ...(mac && { MacAddress: mac }),
  };
}

function ipamOf({ ipv4, ipv6, linkLocalIps }: NetworkAttachment): EndpointIpamConfig | undefined {
  const config = {
    ...(ipv4 && { IPv4Address: ipv4 }),
    ...(ipv6 && { IPv6Address: ipv6 }),
    ...(linkLocalIps.length > 0 && { LinkLocalIPs: linkLocalIps }),
  };
  return Object.keys(config).length > 0 ? config : undefined;
}

/** Is it a network of somebody's making? */
function isUserDefined(mode: string): boolean {
  return !["default", "bridge", "host", "none"].includes(mode) && !/^container:/.test(mode);
}

function conflicting(reason: string): EngineError {
  return invalid(`conflicting options: ${reason}`);
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
