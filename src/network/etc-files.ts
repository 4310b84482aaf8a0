/** What a container reads as /etc/hosts, /etc/resolv.conf and /etc/hostname. */
import { readFileSync } from "node:fs";
import { EngineError, isErrno } from "../core/errors.ts";
import { type Address, contains, formatAddress, parseSubnet, tryParseAddress } from "./address.ts";

/** The lines that Docker's hosts file begins with. */
const localNames = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** What Docker falls back to when the host names no server that a container can reach. */
export const publicNameServers: readonly string[] = ["8.8.8.8", "8.8.4.4"];
const publicNameServersV6: readonly string[] = ["2001:4860:4860::8888", "2001:4860:4860::8844"];

const resolvConfPath = "/etc/resolv.conf";
/** Where systemd-resolved keeps the servers that it asks itself: resolved.conf(5), "/etc/resolv.conf". */
const resolvedConfPath = "/run/systemd/resolve/resolv.conf";

export interface HostsOptions {
  hostname: string;
  domainname?: string;
  /** The container's own addresses, which its hostname stands for. */
  addresses: readonly string[];
  /** `--add-host`: a name and an address each. */
  extraHosts?: readonly { name: string; address: string }[];
}

/** @throws EngineError invalid_argument for a name or address that would break the file. */
export function hostsFile(options: HostsOptions): string {
  let text = localNames;
  const names = hostNames(options.hostname, options.domainname);
  for (const { name, address } of options.extraHosts ?? []) text += hostsLine(address, [name]);
  for (const address of options.addresses) text += hostsLine(address, names);
  return text;
}

/** What a container's own addresses stand for. */
export function hostNames(hostname: string, domainname?: string): string[] {
  const qualified = domainname ? [`${hostname}.${domainname}`] : [];
  // A hostname that is itself qualified is known by its first part as well.
  const [first] = hostname.split(".");
  return [...qualified, hostname, ...(first === hostname ? [] : [first!])];
}

/** The host's own /etc/hosts with `--add-host` lines: for `--network host`. */
export function hostHostsFile(extraHosts: HostsOptions["extraHosts"] = [], path = "/etc/hosts"): string {
  let text = readIfThere(path) ?? localNames;
  if (text !== "" && !text.endsWith("\n")) text += "\n";
  for (const { name, address } of extraHosts) text += hostsLine(address, [name]);
  return text;
}

export function hostnameFile(hostname: string): string {
  return `${checkName(hostname)}\n`;
}

export interface ResolvConfOptions {
  /** `--dns`, instead of the host's servers. */
  servers?: readonly string[];
  /** `--dns-search`; `.` alone means none. */
  search?: readonly string[];
  /** `--dns-option`. */
  options?: readonly string[];
  /** The container can reach IPv6 servers. */
  ipv6?: boolean;
  /** The address of tsd's own server, which the container asks, and which asks those servers. */
  resolver?: string;
}

/**
 * A resolv.conf for a namespace of its own, from the host's: servers on the host's loopback are left out, for they
 * cannot be reached from there, and so are IPv6 ones when the container has no IPv6. When none remain, public ones.
 *
 * With a resolver that is the only server, and the others are remarked on in Docker's words, which scripts look for.
 * @param host the host's own file, as it is; without a resolver that of `readHostResolvConf`.
 * @throws EngineError invalid_argument for an option that would break the file.
 */
export function resolvConf(host: string, options: ResolvConfOptions = {}): string {
  const parsed = parseResolvConf(host);
  const given = options.servers?.map((server) => checkNameServer(server)) ?? [];
  const search = options.search?.length ? options.search.filter((domain) => domain !== ".") : parsed.search;
  const chosen = options.options?.length ? options.options : parsed.options;
  const { resolver } = options;
  const servers = resolver === undefined ? reachableServers(parsed.servers, given, options.ipv6 === true) : [resolver];
  // Names of containers have no dots: they are not to be looked for in the search domains first, as in Docker.
  const needsNdots = resolver !== undefined && !chosen.some((option) => option.startsWith("ndots:"));
  const resolverOptions = needsNdots ? [...chosen, "ndots:0"] : chosen;
  let text = "# Written by tsd, which leaves it alone as soon as it is changed.\n";
  text += servers.map((server) => `nameserver ${server}\n`).join("");
  if (search.length > 0) text += `search ${search.map(checkName).join(" ")}\n`;
  if (resolverOptions.length > 0) text += `options ${resolverOptions.map(checkName).join(" ")}\n`;
  if (resolver !== undefined) {
    // `host(…)`: asked from the host's network namespace.
    const outside = given.length > 0 ? given : hostServers(parsed.servers).map((server) => `host(${server})`);
    text += `\n# ExtServers: [${outside.join(" ")}]\n# Overrides: [${overridden(options).join(" ")}]\n`;
    if (needsNdots) text += "# Option ndots from: internal\n";
  }
  return `${text}${checksumRemark}${checksum(text)}\n`;
}

/** Whether it is as `resolvConf` made it, at whatever time and for whatever host. */
export function isUnchangedResolvConf(text: string): boolean {
  const at = text.lastIndexOf(checksumRemark);
  return at > 0 && text.slice(at) === `${checksumRemark}${checksum(text.slice(0, at))}\n`;
}

const checksumRemark = "# Checksum: ";

function checksum(text: string): string {
  return Bun.hash.crc32(text).toString(16).padStart(8, "0");
}

/** The host's servers as they are asked from the host; public ones where it has none. */
function hostServers(servers: readonly string[]): readonly string[] {
  const usable = servers.filter((server) => parseScoped(server) !== undefined);
  return usable.length > 0 ? usable : publicNameServers;
}

function reachableServers(host: readonly string[], given: readonly string[], ipv6: boolean): readonly string[] {
  if (given.length > 0) return given;
  const usable = host.filter((server) => isReachable(server, ipv6));
  if (usable.length > 0) return usable;
  return ipv6 ? [...publicNameServers, ...publicNameServersV6] : publicNameServers;
}

function overridden({ servers, search, options }: ResolvConfOptions): string[] {
  return Object.entries({ nameservers: servers, search, options }).flatMap(([name, given]) =>
    given?.length ? name : [],
  );
}

/**
 * The text of the host's resolv.conf. Where it names only systemd-resolved's stub on the loopback, the file with the
 * servers behind it. Empty when there is none.
 */
export function readHostResolvConf(path = resolvConfPath, resolvedPath = resolvedConfPath): string {
  const text = readIfThere(path) ?? "";
  const { servers } = parseResolvConf(text);
  const stubOnly = servers.length > 0 && servers.every((server) => server === "127.0.0.53");
  return (stubOnly ? readIfThere(resolvedPath) : undefined) ?? text;
}

interface ParsedResolvConf {
  servers: string[];
  search: string[];
  options: string[];
}

/** The host's resolv.conf as it is: what the host itself asks. */
export function readOwnResolvConf(path = resolvConfPath): string {
  return readIfThere(path) ?? "";
}

/** resolv.conf(5): the last `search` or `domain` line counts, `options` add up. */
export function parseResolvConf(text: string): ParsedResolvConf {
  const parsed: ParsedResolvConf = { servers: [], search: [], options: [] };
  for (const line of text.split("\n")) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && words[0] !== undefined) parsed.servers.push(words[0]);
    else if (keyword === "search" || keyword === "domain") parsed.search = words;
    else if (keyword === "options") parsed.options.push(...words);
  }
  return parsed;
}

const loopbacks = [parseSubnet("127.0.0.0/8"), parseSubnet("::1/128"), parseSubnet("::ffff:127.0.0.0/104")];

function isReachable(server: string, ipv6: boolean): boolean {
  const address = parseScoped(server);
  if (address === undefined) return false;
  // A link-local server with a zone names an interface that the container does not have.
  if (address.family === 6 && (!ipv6 || server.includes("%"))) return false;
  return !loopbacks.some((subnet) => contains(subnet, address));
}

function parseScoped(server: string): Address | undefined {
  return tryParseAddress(server.replace(/%.*$/, ""));
}

/** @returns the address as it is written to resolv.conf. @throws EngineError invalid_argument. */
export function checkNameServer(server: string): string {
  const address = tryParseAddress(server);
  if (address === undefined) throw new EngineError("invalid_argument", `invalid DNS server: ${JSON.stringify(server)}`);
  return formatAddress(address);
}

function hostsLine(address: string, names: readonly string[]): string {
  const parsed = tryParseAddress(address);
  if (parsed === undefined) {
    throw new EngineError("invalid_argument", `host ${names[0]}: ${JSON.stringify(address)} is not an IP address`);
  }
  return `${formatAddress(parsed)}\t${names.map(checkName).join(" ")}\n`;
}

/** A word of these files: nothing that ends it, its line, or begins a comment. */
function checkName(name: string): string {
  if (name !== "" && !/[\s#\0]/.test(name)) return name;
  throw new EngineError("invalid_argument", `${JSON.stringify(name)} cannot stand in /etc/hosts or /etc/resolv.conf`);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
