/**
 * What a container reads as /etc/hosts, /etc/hostname and /etc/resolv.conf: files in its own directory, mounted into it,
 * so that they are rewritten in place while it runs.
 */
import { closeSync, fstatSync, openSync, readSync, writeFileSync } from "node:fs";
import { EngineError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import {
  hostHostsFile,
  hostNames,
  hostnameFile,
  hostsFile,
  isUnchangedResolvConf,
  readHostResolvConf,
  readOwnResolvConf,
  resolvConf,
} from "../../network/etc-files.ts";
import { type HostsLines, replaceHostsLines } from "../../network/hosts-lines.ts";
import { resolverAddress } from "../../network/names/address.ts";
import type { DnsRequest, Sandbox } from "../../network/sandbox.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerPaths } from "../layout.ts";
import type { Container } from "./container.ts";
import { legacyLinks, linkNames } from "./links.ts";
import { splitExtraHost, unbracketed } from "./normalize.ts";
import { dnsRequest } from "./sandbox-request.ts";

/** Of a file that a container has changed. Lists of hosts to keep away from have some hundred thousand lines. */
const fileBytesMax = 16 * 2 ** 20;

/** Writes all three. A container that joins another's network has that one's. */
export function writeEtcFiles(
  context: EngineContext,
  container: Container,
  sandbox: Sandbox,
  paths: ContainerPaths,
): void {
  if (sandbox.kind === "container") return;
  // Three small files: written in less time than a round trip through the thread pool takes.
  writeFileSync(paths.hostname, hostnameFile(container.definition.config.Hostname ?? ""), { mode: 0o644 });
  writeFileSync(paths.hosts, hostsOf(context, container, sandbox), { mode: 0o644 });
  writeResolvConf(context, container, sandbox, paths.resolvConf);
}

/**
 * Makes the files of a running container agree with its networks. Only tsd's own lines of /etc/hosts are touched, and a
 * resolv.conf that somebody changed is left alone, as in Docker.
 * @param gone lines of /etc/hosts that are nobody's any more.
 */
export function updateEtcFiles(context: EngineContext, container: Container, gone: readonly HostsLines[] = []): void {
  const { sandbox } = container;
  if (sandbox?.kind !== "networks") return;
  const paths = context.layout.container(container.id);
  const hosts = readContainers(container, paths.hosts);
  if (hosts !== undefined) {
    // Empty: a daemon was killed in the middle of writing it.
    const wanted =
      hosts === ""
        ? hostsOf(context, container, sandbox)
        : replaceHostsLines(hosts, [...gone, ownLines(container, sandbox), ...linkLines(context, container)]);
    if (wanted !== hosts) writeFileSync(paths.hosts, wanted);
  }
  const resolv = readContainers(container, paths.resolvConf);
  if (resolv === "" || (resolv !== undefined && isUnchangedResolvConf(resolv))) {
    writeResolvConf(context, container, sandbox, paths.resolvConf);
  }
}

/**
 * The container may write what it likes to these files, and as much: a file with holes may be larger than all memory.
 * @returns undefined for one that is longer than any real one, which is left alone.
 */
function readContainers({ id }: Container, path: string): string | undefined {
  const fd = openSync(path, "r");
  try {
    if (fstatSync(fd).size <= fileBytesMax) {
      const buffer = Buffer.allocUnsafe(fileBytesMax + 1);
      // Once is enough for a file; it may have grown meanwhile.
      const length = readSync(fd, buffer);
      if (length <= fileBytesMax) return buffer.toString("utf8", 0, length);
    }
  } finally {
    closeSync(fd);
  }
  log("warn", "a container has made its file too long: it is left alone", { container: id, path, max: fileBytesMax });
  return undefined;
}

function writeResolvConf(context: EngineContext, container: Container, sandbox: Sandbox, path: string): void {
  writeFileSync(path, resolvConfOf(dnsRequest(context, container.definition.hostConfig), sandbox), { mode: 0o644 });
}

function resolvConfOf(dns: DnsRequest, { kind, hasResolver, endpoints }: Sandbox): string {
  if (hasResolver) return resolvConf(readOwnResolvConf(), { ...dns, resolver: resolverAddress });
  const host = readHostResolvConf();
  const ipv6 = endpoints.some((endpoint) => endpoint.ipv6 !== undefined);
  const isGiven = Object.values(dns).some(({ length }: string[]) => length > 0);
  // The host's own namespace reaches whatever the host reaches, its loopback too.
  return kind === "host" && !isGiven ? host : resolvConf(host, { ...dns, ipv6 });
}

function hostsOf(context: EngineContext, container: Container, sandbox: Sandbox): string {
  const { config, hostConfig } = container.definition;
  const extraHosts = (hostConfig.ExtraHosts ?? []).flatMap((entry) => parseExtraHost(context, entry, sandbox));
  if (sandbox.kind === "host") return hostHostsFile(extraHosts);
  const text = hostsFile({
    hostname: config.Hostname ?? "",
    ...(config.Domainname && { domainname: config.Domainname }),
    addresses: addressesOf(sandbox),
    extraHosts,
  });
  return replaceHostsLines(text, linkLines(context, container));
}

function ownLines({ definition }: Container, sandbox: Sandbox): HostsLines {
  const { Hostname = "", Domainname } = definition.config;
  return { names: hostNames(Hostname, Domainname), addresses: addressesOf(sandbox) };
}

function addressesOf({ endpoints }: Sandbox): string[] {
  return endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].filter((address) => address !== undefined));
}

function linkLines(context: EngineContext, container: Container): HostsLines[] {
  return legacyLinks(context, container).map((link) => ({ names: linkNames(link), addresses: link.addresses }));
}

/** `name:address` or `name=address`; `host-gateway` stands for the host as the container sees it. */
function parseExtraHost(context: EngineContext, entry: string, sandbox: Sandbox): { name: string; address: string }[] {
  const { name, value } = splitExtraHost(entry);
  const addresses = value === "host-gateway" ? hostAddresses(context, sandbox) : [unbracketed(value)];
  return addresses.map((address) => ({ name, address }));
}

/**
 * What the daemon was told; else the gateway of the bridge that the container's default route leads to; else of the
 * default bridge, as in Docker.
 */
function hostAddresses({ networks, configuration }: EngineContext, { kind, endpoints }: Sandbox): readonly string[] {
  const told = configuration.network.hostGateway;
  if (told !== undefined) return told;
  if (kind === "host") return ["127.0.0.1"];
  const [bridge] = endpoints
    .filter(({ driver }) => driver === "bridge")
    .sort((a, b) => b.gatewayPriority - a.gatewayPriority);
  const own = [bridge?.ipv4Gateway, bridge?.ipv6Gateway];
  // An internal network leads nowhere.
  const gateways = own.some(Boolean) ? own : networks.find("bridge").subnets.map(({ gateway }) => gateway);
  const addresses = gateways.filter((address) => address !== undefined);
  if (addresses.length > 0) return addresses;
  throw new EngineError("invalid_argument", "unable to derive the IP value for host-gateway: no bridge network");
}
