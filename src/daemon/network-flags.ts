/** The daemon's flags of networks. They have dockerd's names and meanings. */
import { errorMessage } from "../core/errors.ts";
import { formatAddress, tryParseAddress } from "../core/ip-address.ts";
import { nameServer, searchDomain } from "../core/name-server.ts";
import type { NetworkConfiguration } from "../network/configuration.ts";
import { defaultBridgeRequests } from "../network/default-bridge.ts";
import {
  bridgeNameOption,
  familyOption,
  interfacePrefix,
  bridgeOptions as readBridgeOptions,
} from "../network/driver/options.ts";
import { isStacked, stackedOptions } from "../network/driver/parent-options.ts";
import { parsePool } from "../network/ipam.ts";
import { publishModes } from "../network/ports/port.ts";
import type { Flag } from "./flag.ts";

export const networkFlags: Record<string, Flag> = {
  bip: { value: "string", help: "IPv4 address of the default bridge, with its prefix length" },
  bip6: { value: "string", help: "IPv6 address of the default bridge, with its prefix length" },
  bridge: { short: "b", value: "string", help: 'Name of the default bridge (default "tsd0")' },
  "default-address-pool": {
    value: "list",
    help: "Where networks' subnets come from: base=10.10.0.0/16,size=24",
  },
  "default-gateway": {
    value: "string",
    help: "IPv4 gateway of containers on the default bridge, where it is not that",
  },
  "default-gateway-v6": { value: "string", help: "IPv6 gateway of containers on the default bridge" },
  "default-network-opt": {
    value: "list",
    help: "Option of networks that users make and that say nothing else: DRIVER=OPTION=VALUE",
  },
  dns: { value: "list", help: "Name server of containers that have no --dns (default the host's)" },
  "dns-opt": { value: "list", help: "Resolver option of containers that have no --dns-option (default the host's)" },
  "dns-search": { value: "list", help: "Search domain of containers that have no --dns-search (default the host's)" },
  "fixed-cidr": { value: "string", help: "Subnet of the default bridge that IPv4 addresses come from" },
  "fixed-cidr-v6": { value: "string", help: "Subnet of the default bridge that IPv6 addresses come from" },
  "host-gateway-ip": {
    value: "list",
    help: "Address that host-gateway of --add-host stands for, one of IPv4 and one of IPv6 (default that of the bridge)",
  },
  icc: { help: "Let containers on the default bridge reach each other (default true)" },
  ip: { value: "string", help: "Same as --publish-address" },
  "ip-forward": { help: "Let the host forward IPv4 and IPv6 (default true)" },
  "ip-masq": { help: "Give what leaves the default bridge the host's address (default true)" },
  ipv6: { help: "IPv6 on the default bridge (default: where the host has it)" },
  "publish-address": {
    value: "string",
    help: "Address of this host that ports are published on without one (default all)",
  },
  "publish-mode": {
    value: "string",
    help: 'How ports are published: nat, or socket, which the host\'s input rules apply to (default "nat")',
  },
  mtu: { value: "number", help: "MTU of the default bridge, in bytes (default that of the host's way out)" },
};

/** What was given on the command line. */
export interface FlagValues {
  /** A flag's value, of several the last. */
  last(name: string): string | undefined;
  all(name: string): string[] | undefined;
  /** Whether a switch was given as on or as off. */
  isOn(name: string): boolean | undefined;
}

/** IPv4 does not work with less (RFC 791); IPv6 needs 1280, which the kernel sees to. */
const mtuMin = 68;
const mtuMax = 65_535;

/** @throws Error with the reason for a wrong one. */
export function readNetworkOptions(flags: FlagValues): NetworkConfiguration {
  const bridge = flags.last("bridge");
  if (bridge === "none") throw new Error("--bridge=none: not built in tsd; run containers with --network none");
  const pools = flags.all("default-address-pool")?.map(parseAddressPool);
  const ipv6 = flags.isOn("ipv6");
  const addresses = {
    address: flags.last("bip"),
    address6: flags.last("bip6"),
    range: flags.last("fixed-cidr"),
    range6: flags.last("fixed-cidr-v6"),
    gateway: flags.last("default-gateway"),
    gateway6: flags.last("default-gateway-v6"),
  };
  // A bridge that was named may be there, and have a subnet.
  const told = defaultBridgeRequests(addresses, bridge === undefined ? [] : undefined);
  if (ipv6 === false && told[6] !== undefined) {
    throw new Error(`--ipv6=false: the default bridge was given subnet ${told[6].subnet}`);
  }
  return {
    ...(bridge !== undefined && { bridge }),
    addresses,
    ...(pools !== undefined && { pools }),
    ...(ipv6 !== undefined && { ipv6 }),
    ...hostGateway(flags),
    forwarding: flags.isOn("ip-forward") ?? true,
    options: bridgeOptions(flags),
    ...driverOptions(flags),
    ...dns(flags),
    publish: publishOptions(flags),
  };
}

/** The words of docker's own parser. */
function invalid(flag: string, text: string, reason: string): Error {
  return new Error(`invalid argument "${text}" for "--${flag}" flag: ${reason}`);
}

function dns(flags: FlagValues): Pick<NetworkConfiguration, "dns"> {
  const all = (flag: string, check: (text: string) => string): string[] =>
    (flags.all(flag) ?? []).map((text) => {
      try {
        return check(text);
      } catch (error) {
        throw invalid(flag, text, errorMessage(error));
      }
    });
  const told = {
    servers: all("dns", nameServer),
    search: all("dns-search", searchDomain),
    options: all("dns-opt", resolverOption),
  };
  return Object.values(told).some(({ length }) => length > 0) ? { dns: told } : {};
}

/** Docker takes any; one with a blank in it would be several in resolv.conf, one with a # would end its line. */
function resolverOption(text: string): string {
  if (/^[^\s#]+$/.test(text)) return text;
  throw new Error("an option of resolv.conf is one word");
}

/** `bridge=com.docker.network.driver.mtu=1400`. What an option may be is looked at as if a network had it. */
function driverOptions(flags: FlagValues): Pick<NetworkConfiguration, "driverOptions"> {
  const flag = "default-network-opt";
  const texts = flags.all(flag);
  if (texts === undefined) return {};
  const byDriver: Record<string, Record<string, string>> = {};
  for (const text of texts) {
    const [, driver = "", option = "", value = ""] = /^([^=]*)=([^=]*)=(.*)$/s.exec(text) ?? [];
    if (option === "") throw invalid(flag, text, "write DRIVER=OPTION=VALUE");
    if (!optionDrivers.includes(driver)) throw invalid(flag, text, `driver ${driver}: use ${optionDrivers.join(", ")}`);
    // Its second network would find it taken.
    if (driver === "bridge" && option === bridgeNameOption)
      throw invalid(flag, text, "each network has its own bridge");
    try {
      checkOptions(driver, { [option]: value });
    } catch (error) {
      throw invalid(flag, text, errorMessage(error));
    }
    byDriver[driver] = { ...byDriver[driver], [option]: value };
  }
  return { driverOptions: byDriver };
}

const optionDrivers = ["bridge", "macvlan", "ipvlan"];

/** @throws EngineError invalid_argument */
function checkOptions(driver: string, options: Record<string, string>): void {
  const network = { name: "(any)", options };
  interfacePrefix(network);
  for (const family of [4, 6] as const) familyOption(network, family);
  if (isStacked(driver)) stackedOptions(driver, network);
  else readBridgeOptions(network);
}

/** As in Docker one address of a family, which may be told together: `192.0.2.1,2001:db8::1`. */
function hostGateway(flags: FlagValues): Pick<NetworkConfiguration, "hostGateway"> {
  const texts = flags.all("host-gateway-ip")?.flatMap((text) => text.split(","));
  if (texts === undefined) return {};
  const addresses = texts.map((text) => {
    const address = tryParseAddress(text);
    if (address !== undefined) return address;
    throw invalid("host-gateway-ip", text, `ip is not correctly formatted: ${text}`);
  });
  for (const family of [4, 6]) {
    if (addresses.filter((address) => address.family === family).length < 2) continue;
    throw new Error(`--host-gateway-ip: only one IPv${family} address can be given: ${texts.join(" ")}`);
  }
  return { hostGateway: addresses.map(formatAddress) };
}

function publishOptions(flags: FlagValues): NetworkConfiguration["publish"] {
  const text = flags.last("publish-mode") ?? "nat";
  const mode = publishModes.find((known) => known === text);
  if (mode === undefined) throw invalid("publish-mode", text, `choose ${publishModes.join(" or ")}`);
  const [own, docker] = [flags.last("publish-address"), flags.last("ip")];
  if (own !== undefined && docker !== undefined && own !== docker) {
    throw new Error(`--publish-address ${own} and --ip ${docker} are the same flag: give one of them`);
  }
  const hostAddress = own ?? docker;
  if (hostAddress !== undefined && tryParseAddress(hostAddress) === undefined) {
    const flag = own === undefined ? "ip" : "publish-address";
    throw invalid(flag, hostAddress, `ip is not correctly formatted: ${hostAddress}`);
  }
  return { mode, ...(hostAddress !== undefined && { hostAddress }) };
}

function bridgeOptions(flags: FlagValues): Record<string, string> {
  const mtu = flags.last("mtu");
  if (mtu !== undefined && !(/^\d{1,6}$/.test(mtu) && Number(mtu) >= mtuMin && Number(mtu) <= mtuMax) && mtu !== "0") {
    throw invalid("mtu", mtu, `not a number from ${mtuMin} to ${mtuMax}`);
  }
  const icc = flags.isOn("icc");
  const masquerade = flags.isOn("ip-masq");
  return {
    ...(icc !== undefined && { "com.docker.network.bridge.enable_icc": String(icc) }),
    ...(masquerade !== undefined && { "com.docker.network.bridge.enable_ip_masquerade": String(masquerade) }),
    // As Docker has it 0 stands for the default.
    ...(mtu !== undefined && mtu !== "0" && { "com.docker.network.driver.mtu": mtu }),
  };
}

/** `base=10.10.0.0/16,size=24`, in either order. */
function parseAddressPool(text: string): string {
  const wrong = (reason: string): Error => invalid("default-address-pool", text, reason);
  const parts = new Map<string, string>();
  for (const field of text.split(",")) {
    const [name, value] = field.trim().split(/=(.*)/s, 2);
    if (value === undefined || value === "") throw wrong(`"${field}" is not of the form key=value`);
    if (name !== "base" && name !== "size") throw wrong(`unexpected key "${name}": use base and size`);
    if (parts.has(name)) throw wrong(`${name} is there twice`);
    parts.set(name, value);
  }
  const [base, size] = [parts.get("base"), parts.get("size")];
  if (base === undefined || size === undefined) throw wrong("base and size are both needed");
  const pool = `${base} size ${size}`;
  try {
    parsePool(pool);
  } catch (error) {
    throw wrong(errorMessage(error));
  }
  return pool;
}
