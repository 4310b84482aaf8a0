/** What a container has on its networks beside interfaces: published ports, and a server of names. */
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { type Family, formatAddress } from "./address.ts";
import { chooseDefaultRoutes, inOrderOfPreference, type RoutedEndpoint } from "./default-route.ts";
import { bridgeOptions, hostBindingOf } from "./driver/options.ts";
import type { Endpoints } from "./endpoints.ts";
import type { EndpointNames, ServedSandbox } from "./names/records.ts";
import type { Resolver } from "./names/resolver.ts";
import type { NetworkTable } from "./network-table.ts";
import { isSameWay, type PublishTarget } from "./ports/binding.ts";
import type { PortRequest, PublishedPort } from "./ports/port.ts";
import type { Ports } from "./ports/ports.ts";
import type { EndpointRecord, SandboxRecord } from "./records.ts";

export interface SandboxServicesParts {
  networks: NetworkTable;
  endpoints: Endpoints;
  ports: Ports;
  resolver: Resolver;
}

export class SandboxServices {
  readonly #parts: SandboxServicesParts;
  /** The sandboxes, by id, whose names are answered. */
  readonly #served = new Set<string>();

  constructor(parts: SandboxServicesParts) {
    this.#parts = parts;
  }

  /**
   * Publishes the ports that a sandbox asks for, and has its questions for names answered.
   * @throws EngineError; whatever was begun is undone.
   */
  async provide(record: SandboxRecord, namespacePath: string): Promise<void> {
    const isServed = this.hasResolver(record);
    if (record.ports.length === 0 && !isServed) return;
    const target = record.ports.length === 0 ? undefined : this.#target(record);
    const results = await Promise.allSettled([
      target && this.#publish(record, record.ports, target),
      isServed ? this.#serve(record, namespacePath) : undefined,
    ]);
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return;
    await this.withdraw(record);
    throw failed.reason;
  }

  /** Takes all of it back. What cannot be is logged: whoever calls is letting go of the sandbox. */
  async withdraw(record: SandboxRecord): Promise<void> {
    const { ports, resolver } = this.#parts;
    const releases: Promise<void>[] = [];
    if (record.containerId !== null && record.ports.length > 0) releases.push(ports.release(record.containerId));
    if (this.#served.delete(record.id)) {
      releases.push(...record.endpoints.map(({ id }) => resolver.removeNames(id)), resolver.release(record.id));
    }
    for (const result of await Promise.allSettled(releases)) {
      if (result.status === "fulfilled") continue;
      const fields = { container: record.containerId ?? "", error: errorMessage(result.reason) };
      log("error", "a container's ports or names could not be withdrawn", fields);
    }
  }

  /**
   * After a container that runs came on a network: its ports are where the way in is now, and its names are known.
   * @throws EngineError; what was before is again.
   */
  async joined(record: SandboxRecord, added: EndpointRecord, namespacePath: string): Promise<void> {
    const before = { ...record, endpoints: record.endpoints.filter((endpoint) => endpoint !== added) };
    const from = this.#target(before);
    try {
      if (this.#served.has(record.id)) await this.#parts.resolver.setNames(this.#names(record, added));
      else if (this.hasResolver(record)) await this.#serve(record, namespacePath);
      await this.#move(before, from, record);
    } catch (error) {
      await this.left(record, before, added);
      throw error;
    }
  }

  /** After it was renamed. @throws EngineError when its new names cannot be made known. */
  async renamed(record: SandboxRecord): Promise<void> {
    if (!this.#served.has(record.id)) return;
    await Promise.all(record.endpoints.map((endpoint) => this.#parts.resolver.setNames(this.#names(record, endpoint))));
  }

  /** After it left one. What cannot be done is logged: the network is left. */
  async left(before: SandboxRecord, record: SandboxRecord, gone: EndpointRecord): Promise<void> {
    // Now: nothing holds the network that was left, and it may be removed meanwhile.
    const from = this.#target(before);
    await followed("names", record, () => this.#forgetNames(record, gone));
    // Whatever becomes of the names: the address that the ports lead to may be another container's next.
    await followed("ports", record, () => this.#move(before, from, record));
  }

  async #forgetNames(record: SandboxRecord, gone: EndpointRecord): Promise<void> {
    const { resolver } = this.#parts;
    if (this.#served.has(record.id)) await resolver.removeNames(gone.id);
    if (!this.#served.has(record.id) || this.hasResolver(record)) return;
    this.#served.delete(record.id);
    for (const { id } of record.endpoints) await resolver.removeNames(id);
    await resolver.release(record.id);
  }

  /**
   * After a restart: publishes the ports of a container that lives on where they belong. The daemon may have been killed
   * when the container had changed its networks, and the ports had not followed, or were on their way.
   */
  async settlePorts(record: SandboxRecord): Promise<void> {
    const { containerId } = record;
    if (containerId === null || record.ports.length === 0) return;
    const { ports } = this.#parts;
    const to = this.#target(record);
    const from = ports.targetOf(containerId);
    if (Bun.deepEquals(from, to)) return;
    await followed("ports", record, async () => {
      if (to !== undefined && isSameWay(from, to)) {
        await ports.show(containerId, to);
        return;
      }
      const requests = fixedTo(ports.of(containerId), record.ports);
      await ports.release(containerId);
      if (to !== undefined) await this.#publish(record, requests, to);
    });
  }

  /**
   * Puts the ports where the way in is now, with the numbers that they have.
   * @throws EngineError; they are where they were then, if that can still be.
   */
  async #move(before: SandboxRecord, from: PublishTarget | undefined, after: SandboxRecord): Promise<void> {
    const to = this.#target(after);
    if (after.containerId === null || after.ports.length === 0) return;
    if (Bun.deepEquals(from, to)) return;
    const { ports } = this.#parts;
    if (to !== undefined && isSameWay(from, to)) {
      await ports.show(after.containerId, to);
      return;
    }
    const requests = fixedTo(ports.of(after.containerId), after.ports);
    await ports.release(after.containerId);
    if (to === undefined) return;
    try {
      await this.#publish(after, requests, to);
    } catch (error) {
      if (from !== undefined) await this.#publish(before, requests, from);
      throw error;
    }
  }

  async #publish(record: SandboxRecord, requests: readonly PortRequest[], target: PublishTarget): Promise<void> {
    const owner = { containerId: record.containerId!, containerName: record.containerName };
    await this.#parts.ports.publish(owner, requests, target);
    try {
      this.reflect(record);
    } catch (error) {
      await this.#parts.ports.release(owner.containerId);
      throw error;
    }
  }

  /** Lets a container reach its own ports; asked for again after its interface was hung on the bridge anew. */
  reflect(record: SandboxRecord): void {
    const best = this.#wayIn(record);
    if (best !== undefined && this.publishedPorts(record).some(({ mode }) => mode === "nat")) {
      this.#parts.endpoints.reflect(best.record);
    }
  }

  async #serve(record: SandboxRecord, namespacePath: string): Promise<void> {
    this.#served.add(record.id);
    const { resolver } = this.#parts;
    await Promise.all([
      ...record.endpoints.map((endpoint) => resolver.setNames(this.#names(record, endpoint))),
      resolver.serve(servedSandbox(record, namespacePath)),
    ]);
  }

  /** As on every network that users make; the default one has no names. */
  hasResolver(record: SandboxRecord): boolean {
    return record.endpoints.some(({ networkId }) => !this.#parts.networks.get(networkId).isBuiltIn);
  }

  publishedPorts(record: SandboxRecord): PublishedPort[] {
    return record.containerId === null ? [] : this.#parts.ports.of(record.containerId);
  }

  /** Where ports lead to: the bridge that the way out of the container is by, as Docker has it. */
  #wayIn(record: SandboxRecord): RoutedEndpoint | undefined {
    return inOrderOfPreference(this.#routed(record)).find(isWayIn);
  }

  #routed(record: SandboxRecord): RoutedEndpoint[] {
    return record.endpoints.map((endpoint) => this.#parts.endpoints.routed(endpoint));
  }

  #target(record: SandboxRecord): PublishTarget | undefined {
    const routed = this.#routed(record);
    const best = inOrderOfPreference(routed).find(isWayIn);
    if (best === undefined) return undefined;
    const { ipv4, ipv6 } = best.record;
    const hostAddress = hostBindingOf(best.network);
    const { gatewayMode } = bridgeOptions(best.network);
    const routedFamilies = ([4, 6] as const).filter((family) => gatewayMode[`ipv${family}`] === "routed");
    const shown = { families: returnsByHost(best, routed), except: subnetsOf(routed) };
    return {
      ...(ipv4 !== undefined && { ipv4: ipv4.address }),
      ...(ipv6 !== undefined && { ipv6: ipv6.address }),
      bridge: best.network.device!,
      ...(routedFamilies.length > 0 && { routed: routedFamilies }),
      ...(shown.families.length > 0 && { shownClients: shown }),
      ...(hostAddress !== undefined && { hostAddress }),
    };
  }

  #names(record: SandboxRecord, endpoint: EndpointRecord): EndpointNames {
    const network = this.#parts.networks.get(endpoint.networkId);
    const { names, links } = endpoint.wishes;
    return {
      endpointId: endpoint.id,
      sandboxId: record.id,
      containerId: record.containerId!,
      networkId: network.id,
      networkName: network.name,
      internal: network.internal,
      names: network.isBuiltIn ? [] : names,
      ...(endpoint.ipv4 !== undefined && { ipv4: endpoint.ipv4.address }),
      ...(endpoint.ipv6 !== undefined && { ipv6: endpoint.ipv6.address }),
      ...(links.length > 0 && { links }),
    };
  }

  /** After a restart of the daemon: the names of the containers that live on. */
  async restoreNames(live: readonly { record: SandboxRecord; namespacePath: string }[]): Promise<void> {
    const served = live.filter(({ record }) => this.hasResolver(record));
    for (const { record } of served) this.#served.add(record.id);
    try {
      await this.#parts.resolver.restore({
        sandboxes: served.map(({ record, namespacePath }) => servedSandbox(record, namespacePath)),
        endpoints: served.flatMap(({ record }) => record.endpoints.map((endpoint) => this.#names(record, endpoint))),
      });
    } catch (error) {
      log("error", "the names of running containers could not be made known", { error: errorMessage(error) });
    }
  }
}

function isWayIn({ network }: RoutedEndpoint): boolean {
  return network.driver === "bridge" && !network.internal;
}

/** The families in which the container's default route leads to this host's own address on that network. */
function returnsByHost({ record, network }: RoutedEndpoint, all: readonly RoutedEndpoint[]): Family[] {
  const routes = chooseDefaultRoutes(all).filter((route) => route.interface === record.interface);
  const { inhibitIpv4 } = bridgeOptions(network);
  return routes.flatMap(({ family, gateway }) => {
    if (gateway === undefined || (family === 4 && inhibitIpv4)) return [];
    return network.subnets.some((each) => each.gateway === formatAddress(gateway)) ? family : [];
  });
}

function subnetsOf(all: readonly RoutedEndpoint[]): string[] {
  return [...new Set(all.flatMap(({ network }) => network.subnets.map(({ subnet }) => subnet)))].sort();
}

/** Does what follows from a change of a container's networks, which has happened: what cannot be done is logged. */
async function followed(what: "names" | "ports", { containerId }: SandboxRecord, work: () => Promise<void>) {
  try {
    await work();
  } catch (error) {
    const fields = { container: containerId ?? "", error: errorMessage(error) };
    log("error", `a container's ${what} did not follow its networks`, fields);
  }
}

function servedSandbox({ id, dns }: SandboxRecord, namespacePath: string): ServedSandbox {
  const dots = Number(/^ndots:(\d+)$/.exec(dns.options.find((option) => option.startsWith("ndots:")) ?? "")?.[1] ?? 0);
  return { sandboxId: id, namespacePath, servers: dns.servers, ...(dots > 0 && { keepsSingleLabels: true }) };
}

/** The requests, each with the number that it was given: a container keeps its ports when it changes its networks. */
function fixedTo(published: readonly PublishedPort[], requests: readonly PortRequest[]): PortRequest[] {
  const left = [...published];
  return requests.map((request) => {
    const isOf = (port: PublishedPort): boolean =>
      port.transport === request.transport && port.containerPort === request.containerPort;
    const first = left.find((port) => isOf(port) && port.mode !== "routed");
    if (first === undefined) return request;
    const { hostPort } = first;
    // One request has the same number on each of its addresses.
    for (const port of left.filter((each) => isOf(each) && each.hostPort === hostPort)) {
      left.splice(left.indexOf(port), 1);
    }
    return { ...request, hostPorts: { first: hostPort, last: hostPort } };
  });
}
