/**
 * Which servers a registry name stands for: the mirrors that an administrator has named (hosts.toml,
 * `--registry-mirror`) first, then the registry itself, by HTTPS or where allowed by HTTP.
 */
import { EngineError } from "../../core/errors.ts";
import { defaultRegistry } from "../reference.ts";
import { isInNetwork, splitPort } from "./address.ts";
import { type ClientCertificate, defaultCertificateDirectories } from "./certificates.ts";
import { type Capability, type ConfiguredHost, type HostSettings, readHostsFile } from "./hosts-file.ts";

export interface RegistryHostsConfig {
  /** `--registry-mirror`: base URLs that are asked before docker.io. */
  mirrors?: readonly string[];
  /** `--insecure-registry`: `host`, `host:port`, or a network as `10.0.0.0/8`. Loopback always is, as in Docker. */
  insecure?: readonly string[];
  /** `--certs-dir`: where `HOST/hosts.toml` and certificates are looked for. */
  certificateDirectories?: readonly string[];
}

export interface RegistryHost {
  /** `https://registry-1.docker.io/v2`: what `/NAME/…` is put behind. */
  apiUrl: string;
  /** Certificates are not verified, and tokens may come by HTTP: the server is trusted for its address. */
  isInsecure: boolean;
  /** Asked in place of the registry: gets none of the user's passwords, and may fail. */
  isMirror: boolean;
  /** Whose mirror it is: containerd's parameter `ns`, for mirrors of many registries. */
  namespace?: string;
  /** Trusted beside the system's and those of the host's own directory. */
  authorities: readonly string[];
  client?: ClientCertificate | undefined;
  headers: Readonly<Record<string, string>>;
  dialTimeoutMs?: number | undefined;
}

const dockerHubHost = "registry-1.docker.io";

/**
 * Hosts in the order in which they are to be asked.
 * @throws EngineError invalid_argument for a hosts.toml that is wrong.
 */
export function registryHosts(registry: string, config: RegistryHostsConfig, need: Capability): RegistryHost[] {
  const insecure = config.insecure ?? [];
  const host = registry === defaultRegistry ? dockerHubHost : registry;
  const file = readHostsFile(registry, config.certificateDirectories ?? defaultCertificateDirectories);
  const configured = (file?.hosts ?? [])
    .filter(({ settings }) => mayServe(settings, need))
    .map((one) => configuredHost(one, host, registry, insecure));
  const mirrors = registry === defaultRegistry && need !== "push" ? (config.mirrors ?? []) : [];
  const own: RegistryHost[] =
    file?.server === undefined
      ? ownHosts(host, insecure)
      : [plainHost(file.server, isTrusted(new URL(file.server), insecure))];
  const settings = file?.serverSettings;
  if (settings !== undefined) for (const one of own) Object.assign(one, connectionOf(settings, one.isInsecure));
  const isServerAsked = settings === undefined || mayServe(settings, need, true);
  return [...configured, ...mirrors.map((mirror) => mirrorHost(mirror, insecure)), ...(isServerAsked ? own : [])];
}

/** To a mirror nothing is pushed unless its capabilities say so: most of them only keep what they fetched. */
function mayServe({ capabilities }: HostSettings, need: Capability, isServer = false): boolean {
  return capabilities === undefined ? isServer || need !== "push" : capabilities.has(need);
}

function ownHosts(host: string, insecure: readonly string[]): RegistryHost[] {
  if (!isInsecure(host, insecure)) return [plainHost(`https://${host}/v2`, false)];
  return [plainHost(`https://${host}/v2`, true), plainHost(`http://${host}/v2`, true)];
}

function plainHost(apiUrl: string, insecure: boolean): RegistryHost {
  return { apiUrl, isInsecure: insecure, isMirror: false, authorities: [], headers: {} };
}

function configuredHost(
  { apiUrl, settings }: ConfiguredHost,
  own: string,
  registry: string,
  insecure: readonly string[],
): RegistryHost {
  const url = new URL(apiUrl);
  const isMirror = url.host !== own;
  return {
    ...plainHost(apiUrl, false),
    isMirror,
    ...(isMirror && { namespace: registry }),
    ...connectionOf(settings, isTrusted(url, insecure)),
  };
}

function connectionOf(settings: HostSettings, insecure: boolean) {
  const { authorities, client, headers, dialTimeoutMs, skipVerify } = settings;
  return { authorities, client, headers, dialTimeoutMs, isInsecure: insecure || skipVerify };
}

/** Whoever writes `http://` into the configuration of the daemon means it. */
function isTrusted(url: URL, insecure: readonly string[]): boolean {
  return url.protocol === "http:" || isInsecure(url.host, insecure);
}

/**
 * Checks `--registry-mirror` as docker does.
 * @throws EngineError invalid_argument.
 */
export function parseMirror(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (!isPlain || !["http:", "https:"].includes(url.protocol)) {
    throw new EngineError("invalid_argument", `invalid mirror: ${JSON.stringify(text)} is no http or https URL`);
  }
  return text.replace(/\/+$/, "");
}

function mirrorHost(mirror: string, insecure: readonly string[]): RegistryHost {
  const baseUrl = parseMirror(mirror);
  return { ...plainHost(`${baseUrl}/v2`, isTrusted(new URL(baseUrl), insecure)), isMirror: true };
}

/** Is `host` or `host:port` in the list, or on this machine? A name counts by itself: it is not looked up. */
export function isInsecure(host: string, list: readonly string[]): boolean {
  const { name } = splitPort(host);
  if (name === "localhost" || isInNetwork(name, "127.0.0.0/8") || isInNetwork(name, "::1/128")) return true;
  return list.some((item) => item === host || item === name || isInNetwork(name, item));
}
