/**
 * What a network will be: a request, checked against the networks that there are and what the host occupies, completed
 * with what it leaves open. Nothing is made here. Errors have Docker's words, for scripts read them.
 */
import { advice } from "../core/advice.ts";
import { EngineError } from "../core/errors.ts";
import { tryParseSubnet } from "./address.ts";
import type { NetworkConfiguration } from "./configuration.ts";
import { bridgeName, checkInterfaceName } from "./driver/interface-name.ts";
import { bridgeNameOption, familyOption, withoutIpv6ByMtu } from "./driver/options.ts";
import { checkSharing, parentName, stackedOptions } from "./driver/parent-options.ts";
import { type ExistingBridge, withOwnGateways } from "./existing-bridge.ts";
import type { Pool } from "./ipam.ts";
import type { Network, NetworkDriver, NetworkRequest, SubnetRequest } from "./network.ts";
import type { Obstacle } from "./obstacles.ts";
import { type Families, planSubnets } from "./plan-subnets.ts";

export interface PlanContext {
  /** The new network's. */
  id: string;
  /** RFC 3339 with nanoseconds. */
  createdAt: string;
  /** All that there are. */
  networks: readonly Network[];
  /** See readObstacles. */
  obstacles: readonly Obstacle[];
  /** A bridge of that name that is on the host and not tsd's; absent: there is none. */
  existingBridge?: (device: string) => ExistingBridge | undefined;
  /** Of both families, in order of preference. */
  pools: readonly Pool[];
  /** By driver, what a new network has unless it says otherwise. A configuration has a driver only where it is used. */
  driverOptions?: NetworkConfiguration["driverOptions"];
  /** Why the host has no IPv6; absent where it has it. */
  withoutIpv6?: string | undefined;
}

/** Drivers that networks are made with; of `host` and `null` there is one each, from the start. */
type PlannedDriver = Exclude<NetworkDriver, "host" | "null">;

/**
 * @throws EngineError invalid_argument, already_exists, conflict, forbidden, not_found, unsupported; the message names
 * the network and what is in its way.
 */
export function planNetwork(request: NetworkRequest, context: PlanContext): Network {
  checkName(request.name, context.networks);
  if (request.configOnly) return planConfiguration(request, context);
  const driver = driverOf(request);
  const told = request.configFrom === undefined ? request : withConfiguration(request, context.networks);
  const settled = withDefaults(told, context.driverOptions?.[driver] ?? {});
  checkIpamDriver(settled, driver);
  const device = deviceOf(settled, driver, context);
  const bridge = driver === "bridge" ? context.existingBridge?.(device) : undefined;
  const isOwn = driver === "bridge" && bridge === undefined;
  const families = familiesOf(settled, isOwn, context.withoutIpv6);
  return {
    ...common(request, context),
    driver,
    enableIpv4: families.ipv4,
    enableIpv6: families.ipv6,
    internal: request.internal,
    attachable: request.attachable,
    configOnly: false,
    ...(request.configFrom !== undefined && { configFrom: request.configFrom }),
    options: settled.options,
    labels: { ...settled.labels },
    ipamDriver: ipamDriverOf(settled),
    ipamOptions: { ...settled.ipamOptions },
    subnets: planSubnets(
      { name: request.name, driver, families, requests: withOwnGateways(settled.subnets, bridge?.addresses ?? []) },
      bridge === undefined ? context : { ...context, obstacles: bridge.obstacles, avoided: context.obstacles },
    ),
    device,
  };
}

/** With the daemon's options where the request has none. Families that it names, or has subnets of, are its own affair. */
function withDefaults(request: NetworkRequest, defaults: Record<string, string>): NetworkRequest {
  const { name } = request;
  const given = givenFamilies(request.subnets);
  const ipv4 =
    request.enableIpv4 ?? (given.ipv4 === undefined ? familyOption({ name, options: defaults }, 4) : undefined);
  const ipv6 =
    request.enableIpv6 ?? (given.ipv6 === undefined ? familyOption({ name, options: defaults }, 6) : undefined);
  return {
    ...request,
    ...(ipv4 !== undefined && { enableIpv4: ipv4 }),
    ...(ipv6 !== undefined && { enableIpv6: ipv6 }),
    options: { ...defaults, ...request.options },
  };
}

function common(
  request: NetworkRequest,
  { id, createdAt }: PlanContext,
): Pick<Network, "id" | "name" | "createdAt" | "isBuiltIn"> {
  return { id, name: request.name, createdAt, isBuiltIn: false };
}

/** Names that mean something else where a network is named: the built-in networks, and the default of `--network`. */
const reservedNames: readonly string[] = ["bridge", "host", "none", "default"];

function checkName(name: string, networks: readonly Network[]): void {
  if (name === "") throw new EngineError("invalid_argument", "invalid network name: it is empty");
  if (reservedNames.includes(name)) {
    throw new EngineError("forbidden", `operation is not permitted on predefined ${name} network`);
  }
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    const text = `invalid network name ${JSON.stringify(name)}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed`;
    throw new EngineError("invalid_argument", text);
  }
  if (networks.some((network) => network.name === name)) {
    throw new EngineError("already_exists", `network with name ${name} already exists`, {
      hint: advice.networkTaken(name),
    });
  }
}

function driverOf({ name, driver }: NetworkRequest): PlannedDriver {
  switch (driver) {
    case "":
    case "bridge":
      return "bridge";
    case "macvlan":
    case "ipvlan":
      return driver;
    case "host":
    case "null":
      throw new EngineError("forbidden", `network ${name}: only one instance of "${driver}" network is allowed`);
    case "overlay":
      throw new EngineError("forbidden", `network ${name}: driver overlay: this node is not a swarm manager`, {
        hint: "tsd has no swarm: use bridge, macvlan or ipvlan",
      });
    default:
      throw noPlugin(name, driver);
  }
}

function noPlugin(network: string, plugin: string): EngineError {
  const text = `network ${network}: could not find plugin ${plugin} in v1 plugin registry: plugin not found`;
  return new EngineError("not_found", text);
}

function ipamDriverOf({ ipamDriver }: NetworkRequest): string {
  return ipamDriver === undefined || ipamDriver === "" ? "default" : ipamDriver;
}

function checkIpamDriver(request: NetworkRequest, driver: PlannedDriver): void {
  const ipam = ipamDriverOf(request);
  if (ipam === "default") return;
  if (ipam !== "null") throw noPlugin(request.name, ipam);
  const text = `network ${request.name}: ipv4 pool is empty: driver ${driver} needs addresses, and IPAM driver null has none`;
  throw new EngineError("invalid_argument", text);
}

/**
 * Both where nothing else is said and the host has both. Where the link is not tsd's own (macvlan, ipvlan, a bridge that
 * is there already) its addresses are its administrator's, who is not given IPv6 unasked.
 */
function familiesOf(request: NetworkRequest, isOwn: boolean, withoutIpv6: string | undefined): Families {
  const { name, enableIpv4, enableIpv6 } = request;
  const given = givenFamilies(request.subnets);
  refuseUnused(name, "IPv4", given.ipv4, enableIpv4);
  refuseUnused(name, "IPv6", given.ipv6, enableIpv6);
  const tooSmall = withoutIpv6ByMtu(request);
  const byItself = isOwn && withoutIpv6 === undefined && tooSmall === undefined;
  const families = { ipv4: enableIpv4 ?? true, ipv6: enableIpv6 ?? (given.ipv6 !== undefined || byItself) };
  if (!families.ipv4 && !families.ipv6) {
    throw new EngineError("invalid_argument", `network ${name}: IPv4 or IPv6 must be enabled`);
  }
  if (families.ipv6 && withoutIpv6 !== undefined) {
    throw new EngineError("unsupported", `network ${name}: the host has no IPv6: ${withoutIpv6}`);
  }
  if (families.ipv6 && tooSmall !== undefined) {
    throw new EngineError("invalid_argument", `network ${name}: ${tooSmall}`);
  }
  return families;
}

function refuseUnused(network: string, family: string, subnet: string | undefined, enabled: boolean | undefined): void {
  if (subnet === undefined || enabled !== false) return;
  const text = `network ${network}: subnet ${subnet} was given, but ${family} is disabled`;
  throw new EngineError("invalid_argument", text, { hint: `--${family.toLowerCase()} enables it` });
}

/** The first subnet of each family. One that cannot be read is told of later. */
function givenFamilies(requests: readonly SubnetRequest[]): { ipv4: string | undefined; ipv6: string | undefined } {
  const first = (family: 4 | 6): string | undefined =>
    requests.find(({ subnet }) => subnet !== undefined && tryParseSubnet(subnet)?.family === family)?.subnet;
  return { ipv4: first(4), ipv6: first(6) };
}

/** A network of which nothing is made: what is checked of it is what does not depend on the driver. */
function planConfiguration(request: NetworkRequest, context: PlanContext): Network {
  const { name } = request;
  if (request.configFrom !== undefined) {
    const text = `network ${name}: a configuration network cannot depend on another configuration network`;
    throw new EngineError("forbidden", text);
  }
  if (request.internal || request.attachable) {
    const text = `network ${name}: configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.`;
    throw new EngineError("forbidden", text);
  }
  const given = givenFamilies(request.subnets);
  return {
    ...common(request, context),
    // As Docker has it: whoever takes the configuration says which driver it is for.
    driver: "null",
    enableIpv4: request.enableIpv4 ?? true,
    enableIpv6: request.enableIpv6 ?? given.ipv6 !== undefined,
    internal: false,
    attachable: false,
    configOnly: true,
    options: { ...request.options },
    labels: { ...request.labels },
    ipamDriver: ipamDriverOf(request),
    ipamOptions: { ...request.ipamOptions },
    subnets: planSubnets({ name, driver: "null", families: undefined, requests: request.subnets }, context),
  };
}

/** The request with the configuration of the network that it names. */
function withConfiguration(request: NetworkRequest, networks: readonly Network[]): NetworkRequest {
  const { name, configFrom } = request;
  const source = networks.find((network) => network.name === configFrom || network.id === configFrom);
  if (source === undefined) {
    throw new EngineError("not_found", `network ${name}: configuration network ${configFrom} not found`);
  }
  if (!source.configOnly) {
    throw new EngineError("forbidden", `network ${name}: ${configFrom} is not a configuration network`);
  }
  const hasOwn =
    request.enableIpv6 === true ||
    request.subnets.length > 0 ||
    Object.keys(request.labels).length > 0 ||
    Object.keys(request.ipamOptions ?? {}).length > 0 ||
    ipamDriverOf(request) !== "default";
  if (hasOwn) {
    const text = `network ${name}: user specified configurations are not supported if the network depends on a configuration network`;
    throw new EngineError("forbidden", text);
  }
  if (Object.keys(request.options).length > 0) {
    const text = `network ${name}: network driver options are not supported if the network depends on a configuration network`;
    throw new EngineError("forbidden", text);
  }
  const { enableIpv4, enableIpv6, subnets, ipamDriver, ipamOptions, options, labels } = source;
  return { ...request, enableIpv4, enableIpv6, subnets, ipamDriver, ipamOptions, options, labels };
}

/**
 * The bridge's name; of macvlan and ipvlan the parent's, or that of the dummy interface that is made where there is
 * no parent.
 * @throws EngineError forbidden when another network has that bridge, conflict for a parent that cannot be shared.
 */
function deviceOf(request: NetworkRequest, driver: PlannedDriver, { id, networks }: PlanContext): string {
  const { name, options } = request;
  if (driver !== "bridge") {
    const parent = parentName(driver, id, request);
    checkSharing(request, parent, stackedOptions(driver, request), networks);
    return parent;
  }
  const device = checkInterfaceName(options[bridgeNameOption] || bridgeName(id));
  const other = networks.find((network) => network.driver === "bridge" && network.device === device);
  if (other === undefined) return device;
  const text = `network ${name} (${device}): conflicts with network ${other.name} (${device}): networks have same bridge name`;
  throw new EngineError("forbidden", text);
}
