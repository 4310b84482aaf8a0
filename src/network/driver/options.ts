/** Docker's driver options, as labels of networks and endpoints: which of them mean something here, and what. */

import { EngineError } from "../../core/errors.ts";
import { parseGoBool } from "../../core/go-bool.ts";
import { type Family, tryParseAddress } from "../address.ts";
import type { GatewayMode } from "../firewall/rules.ts";
import type { Network } from "../network.ts";
import { checkInterfaceName } from "./interface-name.ts";

const bridgePrefix = "com.docker.network.bridge.";
export const bridgeNameOption = `${bridgePrefix}name`;
const hostBindingOption = `${bridgePrefix}host_binding_ipv4`;
const mtuOption = "com.docker.network.driver.mtu";
const interfacePrefixOption = "com.docker.network.container_iface_prefix";
const endpointSysctlsOption = "com.docker.network.endpoint.sysctls";
const endpointNameOption = "com.docker.network.endpoint.ifname";

const familyOptions = { 4: "com.docker.network.enable_ipv4", 6: "com.docker.network.enable_ipv6" } as const;

const mtuMax = 65_535;
const gatewayModes = ["nat", "routed", "nat-unprotected"] as const;
/** Room for a number behind it: IFNAMSIZ. */
const interfacePrefixLengthMax = 11;

/** What the default bridge shows as its options, as Docker's does, unless the daemon was told otherwise. */
export function defaultBridgeOptions(device: string): Record<string, string> {
  return {
    [`${bridgePrefix}default_bridge`]: "true",
    [`${bridgePrefix}enable_icc`]: "true",
    [`${bridgePrefix}enable_ip_masquerade`]: "true",
    [bridgeNameOption]: device,
  };
}

export interface BridgeOptions {
  /** What leaves for elsewhere gets the host's address. */
  masquerade: boolean;
  interContainer: boolean;
  /** The bridge has no IPv4 address of its own: something else is the gateway. */
  inhibitIpv4: boolean;
  gatewayMode: { ipv4: GatewayMode; ipv6: GatewayMode };
  /** Interfaces of the host from which containers' own addresses are reached freely. */
  trustedInterfaces: string[];
  /** Bytes; absent: that of the host's way out. */
  mtu?: number;
}

/** @throws EngineError invalid_argument that names the option. */
export function bridgeOptions({ name, options }: Pick<Network, "name" | "options">): BridgeOptions {
  const flag = (option: string, otherwise: boolean): boolean => {
    const value = options[bridgePrefix + option];
    return value === undefined ? otherwise : parseFlag(name, bridgePrefix + option, value);
  };
  const mtu = mtuOf({ name, options });
  hostBindingOf({ name, options });
  return {
    masquerade: flag("enable_ip_masquerade", true),
    interContainer: flag("enable_icc", true),
    inhibitIpv4: flag("inhibit_ipv4", false),
    gatewayMode: {
      ipv4: gatewayMode(name, options, "gateway_mode_ipv4"),
      ipv6: gatewayMode(name, options, "gateway_mode_ipv6"),
    },
    trustedInterfaces: (options[`${bridgePrefix}trusted_host_interfaces`] ?? "")
      .split(":")
      .filter((each) => each !== ""),
    ...(mtu !== undefined && { mtu }),
  };
}

/** The host's address that ports are published on without one. @throws EngineError invalid_argument */
export function hostBindingOf({ name, options }: Pick<Network, "name" | "options">): string | undefined {
  const text = options[hostBindingOption] ?? "";
  if (text === "") return undefined;
  if (tryParseAddress(text)?.family !== 4) throw invalid(name, hostBindingOption, text, "an IPv4 address");
  return text;
}

/** In bytes, if the network was given one; of every driver. @throws EngineError invalid_argument */
export function mtuOf({ name, options }: Pick<Network, "name" | "options">): number | undefined {
  const text = options[mtuOption];
  // As Docker has it 0 stands for the default.
  if (text === undefined || text === "" || text === "0") return undefined;
  const mtu = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  // The least that IPv4 works with: RFC 791.
  if (mtu < 68 || mtu > mtuMax) throw invalid(name, mtuOption, text, `a number of bytes from 68 to ${mtuMax}`);
  return mtu;
}

/** Bytes. An interface with less has no IPv6: RFC 8200, section 5. */
export const ipv6MtuMin = 1280;

/** Why a network can have no IPv6 by its options; undefined where it can. @throws EngineError invalid_argument */
export function withoutIpv6ByMtu(network: Pick<Network, "name" | "options">): string | undefined {
  const mtu = mtuOf(network);
  if (mtu === undefined || mtu >= ipv6MtuMin) return undefined;
  return `IPv6 needs an MTU of at least ${ipv6MtuMin} bytes, and ${mtuOption} is ${mtu}`;
}

/** What containers' interfaces on a network are called, before the number. @throws EngineError invalid_argument */
export function interfacePrefix({ name, options }: Pick<Network, "name" | "options">): string {
  const prefix = options[interfacePrefixOption] ?? "";
  if (prefix === "") return "eth";
  if (Buffer.byteLength(prefix) > interfacePrefixLengthMax || !/^[^\s/:%.]+$/.test(prefix)) {
    throw invalid(name, interfacePrefixOption, prefix, `1 to ${interfacePrefixLengthMax} bytes of an interface's name`);
  }
  return prefix;
}

/** What an endpoint's interface is to be called, if it was given a name. @throws EngineError invalid_argument */
export function endpointInterfaceName(options: Record<string, string>): string | undefined {
  const name = options[endpointNameOption] ?? "";
  return name === "" ? undefined : checkInterfaceName(name);
}

/**
 * Docker's list for one interface, `net.ipv4.conf.IFNAME.log_martians=1,…`, as files below /proc/sys.
 * @throws EngineError invalid_argument for anything but settings of the endpoint's own interface.
 */
export function endpointSysctls(options: Record<string, string>, interfaceName: string): Record<string, string> {
  const text = options[endpointSysctlsOption] ?? "";
  const files: Record<string, string> = {};
  for (const entry of text.split(",").filter((each) => each.trim() !== "")) {
    const [name = "", value, ...rest] = entry.trim().split("=");
    const parts = name.split(".");
    const [net, family, kind, placeholder, setting, ...more] = parts;
    const isOfInterface =
      net === "net" &&
      ((/^ipv[46]$/.test(family ?? "") && /^(conf|neigh)$/.test(kind ?? "")) || (family === "mpls" && kind === "conf"));
    const isSetting = placeholder === "IFNAME" && /^\w+$/.test(setting ?? "") && more.length === 0;
    if (!isOfInterface || !isSetting || value === undefined || value === "" || rest.length > 0) {
      const form = "net.ipv4.conf.IFNAME.<setting>=<value> (also net.ipv6, and neigh in the place of conf)";
      throw new EngineError(
        "invalid_argument",
        `driver option ${endpointSysctlsOption}: ${JSON.stringify(entry)}: the form is ${form}`,
      );
    }
    files[[net, family, kind, interfaceName, setting].join("/")] = value;
  }
  return files;
}

function gatewayMode(network: string, options: Record<string, string>, option: string): GatewayMode {
  const value = options[bridgePrefix + option] ?? "";
  const mode = gatewayModes.find((each) => each === (value === "" ? "nat" : value));
  if (mode !== undefined) return mode;
  throw invalid(network, bridgePrefix + option, value, `one of ${gatewayModes.join(", ")}`);
}

/** Whether a network is to have a family, if an option says it. @throws EngineError invalid_argument */
export function familyOption(
  { name, options }: Pick<Network, "name" | "options">,
  family: Family,
): boolean | undefined {
  const value = options[familyOptions[family]];
  return value === undefined ? undefined : parseFlag(name, familyOptions[family], value);
}

/** As Go's strconv.ParseBool, which Docker reads options with. */
function parseFlag(network: string, option: string, value: string): boolean {
  const boolean = parseGoBool(value);
  if (boolean !== undefined) return boolean;
  throw invalid(network, option, value, "true or false");
}

function invalid(network: string, option: string, value: string, wanted: string): EngineError {
  const text = `network ${network}: driver option ${option}: ${JSON.stringify(value)} is not ${wanted}`;
  return new EngineError("invalid_argument", text, { path: option });
}
