/** Which servers a registry name stands for: mirrors first, then the registry itself, by HTTPS or where allowed by HTTP. */
import { isIP } from "node:net";
import { EngineError } from "../../core/errors.ts";
import { defaultRegistry } from "../reference.ts";

export interface RegistryHostsConfig {
  /** `--registry-mirror`: base URLs that are asked before docker.io. */
  mirrors?: readonly string[];
  /** `--insecure-registry`: `host`, `host:port`, or a network as `10.0.0.0/8`. Loopback always is, as in Docker. */
  insecure?: readonly string[];
}

export interface RegistryHost {
  /** `https://registry-1.docker.io`: what `/v2/…` is put behind. */
  baseUrl: string;
  /** Certificates are not verified: the server is trusted for its address. */
  isInsecure: boolean;
  isMirror: boolean;
}

const dockerHubHost = "registry-1.docker.io";
const loopback = ["127.0.0.0/8", "::1/128"];

/** Hosts in the order in which they are to be asked. */
export function registryHosts(registry: string, config: RegistryHostsConfig): RegistryHost[] {
  const host = registry === defaultRegistry ? dockerHubHost : registry;
  const mirrors = registry === defaultRegistry ? (config.mirrors ?? []) : [];
  const own: RegistryHost[] = [{ baseUrl: `https://${host}`, isInsecure: false, isMirror: false }];
  if (isInsecure(host, config.insecure ?? [])) {
    own[0]!.isInsecure = true;
    own.push({ baseUrl: `http://${host}`, isInsecure: true, isMirror: false });
  }
  return [...mirrors.map((mirror) => mirrorHost(mirror, config.insecure ?? [])), ...own];
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
  const url = new URL(baseUrl);
  return { baseUrl, isInsecure: url.protocol === "http:" || isInsecure(url.host, insecure), isMirror: true };
}

/** Is `host` or `host:port` in the list, or on this machine? A name counts by itself: it is not looked up. */
export function isInsecure(host: string, list: readonly string[]): boolean {
  const { name } = splitPort(host);
  if (name === "localhost") return true;
  for (const item of [...loopback, ...list]) {
    if (item === host || item === name) return true;
    if (isIP(name) > 0 && isInNetwork(name, item)) return true;
  }
  return false;
}

/** `[::1]:5000` → `::1` and `5000`. */
function splitPort(host: string): { name: string; port: string | undefined } {
  const match = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(host);
  return { name: (match?.[1] ?? match?.[2] ?? host).toLowerCase(), port: match?.[3] };
}

function isInNetwork(address: string, network: string): boolean {
  const [base, bits] = network.split("/") as [string, string?];
  const length = Number(bits);
  if (bits === undefined || !/^\d+$/.test(bits) || isIP(base) !== isIP(address)) return false;
  const width = isIP(base) === 4 ? 32 : 128;
  if (length > width) return false;
  const shift = BigInt(width - length);
  return addressNumber(base) >> shift === addressNumber(address) >> shift;
}

function addressNumber(address: string): bigint {
  if (isIP(address) === 4) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  // The URL parser writes the two halves of `::` out and turns a dotted tail into groups.
  const [head, tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::") as [string, string?];
  const groups = (part: string | undefined) => (part ? part.split(":") : []);
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [
    ...groups(head),
    ...Array.from({ length: tail === undefined ? 0 : missing }, () => "0"),
    ...groups(tail),
  ];
  return all.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}
