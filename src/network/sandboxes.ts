/** Containers' networking as a whole: a namespace with an endpoint on each network, from attachment to detachment. */
import type { Descriptor } from "../../ffi/fd.ts";
import { EngineError, errorMessage, isErrno, wrapError } from "../core/errors.ts";
import { newId, shortId } from "../core/id.ts";
import { log } from "../core/log.ts";
import { chooseDefaultRoutes, isSameRoute } from "./default-route.ts";
import { aloneOnNone, type Endpoints } from "./endpoints.ts";
import type { LiveNetworks } from "./live-networks.ts";
import { type DefaultRoute, NetworkNamespace } from "./namespace.ts";
import type { NetworkTable } from "./network-table.ts";
import { hasAddressOf, type Reaper } from "./reaper.ts";
import { type EndpointRecord, type NetworkRecords, noSandboxWishes, noWishes, type SandboxRecord } from "./records.ts";
import type { EndpointRequest, Sandbox, SandboxRequest, SandboxWishes } from "./sandbox.ts";
import type { SandboxServices } from "./sandbox-services.ts";
import { type MadeSandbox, Spares, type SparesOptions } from "./spares.ts";

/** How long a container's start may wait for a bridge port that does not forward yet; it is started then as it is. */
const forwardingWaitMs = 100;

type NetworksRequest = Extract<SandboxRequest, { kind: "networks" }>;

export interface SandboxesParts {
  records: NetworkRecords;
  networks: NetworkTable;
  live: LiveNetworks;
  endpoints: Endpoints;
  reaper: Reaper;
  services: SandboxServices;
}

/**
 * What exists is written to the database before it is made, so that a daemon that was killed half-way finds and removes
 * it; the namespaces themselves die with their last user (see namespace.ts). The calls to the kernel are synchronous:
 * an attachment is made in one go, 1 to 2 ms, or in a fraction of that where a spare is ready.
 */
export class Sandboxes {
  readonly #parts: SandboxesParts;
  readonly #spares: Spares;
  /** Those of the user namespace that the next container is expected to have. */
  #mapped: Spares | undefined;
  /** By sandbox id. */
  readonly #namespaces = new Map<string, NetworkNamespace>();

  constructor(parts: SandboxesParts) {
    this.#parts = parts;
    this.#spares = this.#newSpares();
  }

  #newSpares(owner?: Descriptor): Spares {
    const options: SparesOptions = {
      make: () => this.#makeSpare(owner),
      isGood: ({ record, namespace }) => this.#parts.endpoints.isConnected(record.endpoints[0]!, namespace),
      discard: ({ record }) => this.#discard(record),
    };
    return new Spares(options, owner);
  }

  /** Makes ahead what a container in this user namespace will need, in place of what was made for another one. */
  prepare(owner: Descriptor, isConnected: boolean): void {
    this.#mapped?.close();
    this.#mapped = this.#newSpares(owner);
    this.#mapped.make(isConnected);
  }

  /** What is made ahead for containers in a user namespace; for others than the host's once. */
  #sparesOf(owner: Descriptor | undefined): Spares | undefined {
    if (owner === undefined) return this.#spares;
    return owner === this.#mapped?.owner ? this.#mapped : undefined;
  }

  /** @throws EngineError conflict when it has one already, and whatever is in the way; what was begun is undone. */
  async attach(containerId: string, request: SandboxRequest): Promise<Sandbox> {
    if (this.#parts.records.hasSandbox(containerId)) {
      throw new EngineError("conflict", `container ${shortId(containerId)} is attached to its network already`);
    }
    try {
      switch (request.kind) {
        case "container":
          return joined(request.namespacePath);
        case "host":
          return this.#view(this.#addPlain(containerId, "host", noSandboxWishes));
        case "none":
          return this.#attachNone(containerId, request);
        case "networks":
          return await this.#attachNetworks(containerId, request);
      }
    } catch (error) {
      throw wrapError(error, `network of container ${shortId(containerId)}`, { stage: "network" });
    }
  }

  /** Takes a container off all networks; nothing happens when it is on none. */
  async detach(containerId: string): Promise<void> {
    const sandbox = this.#parts.records.sandboxOf(containerId);
    if (sandbox === undefined) return;
    const withdrawn = this.#parts.services.withdraw(sandbox);
    this.#discard(sandbox);
    await withdrawn;
  }

  sandbox(containerId: string): Sandbox | undefined {
    const record = this.#parts.records.sandboxOf(containerId);
    return record && this.#view(record);
  }

  #addPlain(containerId: string, kind: "host" | "none", wishes: SandboxWishes): SandboxRecord {
    const id = newId();
    const record: SandboxRecord = { id, containerId, kind, ...wishes, endpoints: [this.#plain(id, kind)] };
    this.#parts.records.addSandbox(record);
    return record;
  }

  /** An endpoint without an interface. */
  #plain(sandboxId: string, network: "host" | "none"): EndpointRecord {
    return { id: newId(), sandboxId, networkId: this.#parts.networks.builtIn(network).id, wishes: noWishes };
  }

  #attachNone(containerId: string, { wishes, userNamespace }: Extract<SandboxRequest, { kind: "none" }>): Sandbox {
    const namespace = this.#newNamespace(userNamespace);
    try {
      const record = this.#addPlain(containerId, "none", wishes ?? noSandboxWishes);
      this.#namespaces.set(record.id, namespace);
      if (userNamespace === undefined) this.#spares.refillEmpty();
      return this.#view(record);
    } catch (error) {
      namespace[Symbol.dispose]();
      throw error;
    }
  }

  #newNamespace(owner: Descriptor | undefined): NetworkNamespace {
    return this.#sparesOf(owner)?.takeEmpty() ?? NetworkNamespace.create(owner);
  }

  async #attachNetworks(containerId: string, request: NetworksRequest): Promise<Sandbox> {
    const freeing = this.#free(request.endpoints);
    // Else what is written is written before anything is waited for.
    if (freeing !== undefined) await freeing;
    const owner = request.userNamespace;
    const usesSpare = isPlain(request.endpoints[0], this.#parts.networks.builtIn("bridge").id);
    const spare = usesSpare ? this.#takeSpare(owner) : undefined;
    const record = spare === undefined ? this.#make(containerId, request) : this.#giveTo(containerId, spare, request);
    try {
      await this.#parts.services.provide(record, this.#namespaces.get(record.id)!.path);
    } catch (error) {
      this.#undo(record);
      throw error;
    }
    if (owner === undefined && usesSpare) this.#spares.refillConnected();
    else if (owner === undefined) this.#spares.refillEmpty();
    for (let waitedMs = 0; waitedMs < forwardingWaitMs; waitedMs++) {
      if (record.endpoints.every((endpoint) => this.#parts.endpoints.isForwarding(endpoint))) break;
      await Bun.sleep(1);
    }
    return this.#view(record);
  }

  /** Takes fixed addresses from those who have no use for them. @returns what to wait for, if there is anything. */
  #free(requests: readonly EndpointRequest[]): Promise<unknown> | undefined {
    const isInTheWay = ({ record }: MadeSandbox) =>
      record.endpoints.some((had) => requests.some((wanted) => hasAddressOf(had, wanted)));
    for (const spares of [this.#spares, this.#mapped]) spares?.dropConnected(isInTheWay);
    return this.#parts.reaper.free(requests);
  }

  #takeSpare(owner: Descriptor | undefined): MadeSandbox | undefined {
    const { live, networks } = this.#parts;
    // Also tells whether the firewall is as it was.
    live.use(networks.builtIn("bridge"));
    return this.#sparesOf(owner)?.takeConnected();
  }

  #makeSpare(owner: Descriptor | undefined): MadeSandbox {
    const networkId = this.#parts.networks.builtIn("bridge").id;
    const endpoint: EndpointRequest = { networkId, names: [], links: [], driverOptions: {}, gatewayPriority: 0 };
    const ofOwner = owner === undefined ? {} : { userNamespace: owner };
    const record = this.#make(null, { ...noSandboxWishes, endpoints: [endpoint], ...ofOwner });
    return { record, namespace: this.#namespaces.get(record.id)! };
  }

  /** A new namespace with its endpoints, for a container or, with null, as a spare. */
  #make(containerId: string | null, request: Omit<NetworksRequest, "kind">): SandboxRecord {
    const id = newId();
    const endpoints = this.#plan(id, request.endpoints, []);
    const { containerName, dns, ports } = request;
    const record: SandboxRecord = { id, containerId, kind: "networks", containerName, dns, ports, endpoints };
    try {
      this.#parts.records.addSandbox(record);
      const owner = request.userNamespace;
      const namespace = containerId === null ? NetworkNamespace.create(owner) : this.#newNamespace(owner);
      this.#namespaces.set(id, namespace);
      const routes = this.#routes(endpoints);
      for (const endpoint of endpoints) this.#parts.endpoints.make(endpoint, namespace, routes);
      return record;
    } catch (error) {
      this.#undo(record);
      throw error;
    }
  }

  /** The spare with its endpoint on the default network becomes the container's, and gets the others. */
  #giveTo(containerId: string, spare: MadeSandbox, request: NetworksRequest): SandboxRecord {
    const [first, ...others] = request.endpoints;
    const [made] = spare.record.endpoints;
    const { names, links, driverOptions, gatewayPriority } = first!;
    const own = { ...made!, wishes: { names, links, driverOptions, gatewayPriority } };
    const { containerName, dns, ports } = request;
    const record = { ...spare.record, containerId, containerName, dns, ports, endpoints: [own] };
    try {
      this.#parts.records.giveTo(containerId, record);
      this.#add(record, spare.namespace, others);
      return record;
    } catch (error) {
      this.#undo(record);
      throw error;
    }
  }

  #plan(sandboxId: string, requests: readonly EndpointRequest[], taken: readonly string[]): EndpointRecord[] {
    const planned: EndpointRecord[] = [];
    try {
      for (const request of requests) {
        const names = [...taken, ...planned.flatMap((record) => record.interface ?? [])];
        planned.push(this.#parts.endpoints.plan(sandboxId, request, names));
      }
      return planned;
    } catch (error) {
      for (const record of planned) this.#parts.endpoints.release(record, false);
      throw error;
    }
  }

  /** Puts a sandbox that is there on further networks. @throws as `attach`; what of them was made is removed. */
  #add(record: SandboxRecord, namespace: NetworkNamespace, requests: readonly EndpointRequest[]): void {
    if (requests.length === 0) return;
    const before = [...record.endpoints];
    const planned = this.#plan(record.id, requests, namespace.interfaces());
    const had = this.#routes(before);
    const wanted = this.#routes([...before, ...planned]);
    try {
      for (const endpoint of planned) {
        this.#parts.records.addEndpoint(endpoint);
        record.endpoints.push(endpoint);
        this.#parts.endpoints.make(endpoint, namespace, []);
      }
      namespace.replaceDefaultRoutes(...difference(had, wanted));
    } catch (error) {
      this.#takeBack(record, namespace, planned);
      this.#reroute(namespace, [], had);
      throw error;
    }
  }

  /** Removes endpoints that came to nothing. */
  #takeBack(record: SandboxRecord, namespace: NetworkNamespace, planned: readonly EndpointRecord[]): void {
    for (const endpoint of planned) {
      try {
        this.#parts.endpoints.remove(endpoint, namespace);
        this.#parts.records.removeEndpoint(endpoint.id);
        this.#parts.endpoints.release(endpoint, false);
        record.endpoints = record.endpoints.filter(({ id }) => id !== endpoint.id);
      } catch (error) {
        log("error", "an endpoint could not be undone", { endpoint: endpoint.id, error: errorMessage(error) });
      }
    }
  }

  #reroute(namespace: NetworkNamespace, remove: readonly DefaultRoute[], add: readonly DefaultRoute[]): void {
    try {
      namespace.replaceDefaultRoutes(remove, add);
    } catch (error) {
      log("error", "a container's default route could not be set", { error: errorMessage(error) });
    }
  }

  #routes(endpoints: readonly EndpointRecord[]): DefaultRoute[] {
    return chooseDefaultRoutes(
      endpoints
        .filter((record) => record.interface !== undefined)
        .map((record) => this.#parts.endpoints.routed(record)),
    );
  }

  /**
   * Puts a container that runs on one more network.
   * @throws EngineError conflict when it is on it already, or has no network of its own
   */
  async connect(containerId: string, request: EndpointRequest): Promise<Sandbox> {
    const freeing = this.#free([request]);
    if (freeing !== undefined) await freeing;
    const { record, namespace } = this.#running(containerId);
    const network = this.#parts.networks.get(request.networkId);
    if (record.endpoints.some(({ networkId }) => networkId === network.id)) {
      const text = `container ${shortId(containerId)} is connected to network ${network.name} already`;
      throw new EngineError("conflict", text);
    }
    if (record.kind === "none") throw new EngineError("conflict", aloneOnNone);
    if (record.endpoints.length === 0 && network.id === this.#parts.networks.builtIn("none").id) {
      const endpoint = this.#plain(record.id, "none");
      this.#parts.records.enterNone(endpoint);
      return this.#view({ ...record, kind: "none", endpoints: [endpoint] });
    }
    try {
      this.#add(record, namespace, [request]);
    } catch (error) {
      throw wrapError(error, `connect container ${shortId(containerId)} to network ${network.name}`, {
        stage: "network",
      });
    }
    const added = record.endpoints.at(-1)!;
    try {
      await this.#parts.services.joined(record, added, namespace.path);
    } catch (error) {
      try {
        this.#takeOff(record, namespace, added);
      } catch (undoing) {
        log("error", "an endpoint could not be undone", { endpoint: added.id, error: errorMessage(undoing) });
      }
      throw wrapError(error, `connect container ${shortId(containerId)} to network ${network.name}`, {
        stage: "network",
      });
    }
    for (let waitedMs = 0; waitedMs < forwardingWaitMs && !this.#parts.endpoints.isForwarding(added); waitedMs++) {
      await Bun.sleep(1);
    }
    return this.#view(record);
  }

  /** @throws EngineError conflict when it is not on the network */
  async disconnect(containerId: string, networkId: string): Promise<Sandbox> {
    const { record, namespace } = this.#running(containerId);
    const network = this.#parts.networks.get(networkId);
    const endpoint = record.endpoints.find((each) => each.networkId === networkId);
    if (endpoint === undefined) {
      const text = `container ${shortId(containerId)} is not connected to network ${network.name}`;
      throw new EngineError("conflict", text);
    }
    if (record.kind === "none") {
      this.#parts.records.leaveNone(endpoint);
      return this.#view({ ...record, kind: "networks", endpoints: [] });
    }
    const before = { ...record };
    this.#takeOff(record, namespace, endpoint);
    await this.#parts.services.left(before, record, endpoint);
    return this.#view(record);
  }

  #takeOff(record: SandboxRecord, namespace: NetworkNamespace, endpoint: EndpointRecord): void {
    const had = this.#routes(record.endpoints);
    this.#parts.endpoints.remove(endpoint, namespace);
    this.#parts.records.removeEndpoint(endpoint.id);
    this.#parts.endpoints.release(endpoint, true);
    record.endpoints = record.endpoints.filter((each) => each !== endpoint);
    // The routes out of the interface went with it.
    const left = had.filter((route) => route.interface !== endpoint.interface);
    this.#reroute(namespace, ...difference(left, this.#routes(record.endpoints)));
  }

  /** @throws EngineError conflict for a container that cannot be put on networks, or does not run. */
  #running(containerId: string): MadeSandbox {
    const record = this.#parts.records.sandboxOf(containerId);
    const namespace = record && this.#namespaces.get(record.id);
    if (record?.kind === "host") {
      throw new EngineError(
        "conflict",
        "container cannot be disconnected from host network or connected to host network",
      );
    }
    if (record === undefined || namespace === undefined) {
      const text = `container ${shortId(containerId)} does not run, or has no network namespace of its own`;
      throw new EngineError("conflict", text);
    }
    return { record, namespace };
  }

  /**
   * After a restart: takes over the namespace of a container that lives, and puts right what is in it.
   * @returns where the namespace is found; undefined where there is none of its own.
   */
  adopt(record: SandboxRecord, path: string): string | undefined {
    if (record.kind === "host" || record.kind === "container") return undefined;
    let namespace: NetworkNamespace | undefined;
    try {
      namespace = openNamespace(path);
    } catch (error) {
      // One container's trouble is no reason for a daemon not to start.
      const fields = { container: record.containerId!, error: errorMessage(error) };
      log("error", "the network namespace of a running container could not be taken over", fields);
    }
    // The container has ended this moment; its end is found out by others.
    if (namespace === undefined) return undefined;
    this.#namespaces.set(record.id, namespace);
    const connected = record.endpoints.filter(({ interface: name }) => name !== undefined);
    const whole: EndpointRecord[] = [];
    const container = record.containerId!;
    const attempt = (what: string, work: () => void): void => {
      try {
        work();
      } catch (error) {
        // What runs goes on running, and the next container says what is wrong.
        log("error", `${what} of a running container could not be put right`, {
          container,
          error: errorMessage(error),
        });
      }
    };
    for (const endpoint of connected) {
      const name = endpoint.interface!;
      attempt(`interface ${name}`, () => {
        if (this.#parts.endpoints.adopt(endpoint, namespace)) whole.push(endpoint);
        else log("warn", "a running container lacked its interface, and has it now", { container, interface: name });
      });
    }
    if (whole.length < connected.length) {
      // What led out without the others may lead elsewhere with them.
      this.#reroute(namespace, ...difference(this.#routes(whole), this.#routes(connected)));
    }
    attempt("the way to its own ports", () => this.#parts.services.reflect(record));
    return namespace.path;
  }

  /** Hangs what is on a network on its device again, after that was made anew. */
  reconnect(networkId: string): void {
    for (const endpoint of this.#parts.records.endpointsOn(networkId)) {
      const namespace = this.#namespaces.get(endpoint.sandboxId);
      if (endpoint.containerId === null || namespace === undefined) continue;
      this.#parts.endpoints.reconnect(endpoint, namespace);
      this.#parts.services.reflect(this.#parts.records.sandboxOf(endpoint.containerId)!);
    }
  }

  #view(record: SandboxRecord): Sandbox {
    const namespace = this.#namespaces.get(record.id);
    const endpoints = record.endpoints.map((endpoint) => this.#parts.endpoints.view(endpoint));
    return {
      kind: record.kind,
      id: record.id,
      ...(namespace !== undefined && { namespacePath: namespace.path }),
      endpoints,
      ports: this.#parts.services.publishedPorts(record),
      hasResolver: this.#parts.services.hasResolver(record),
    };
  }

  #undo(record: SandboxRecord): void {
    try {
      this.#discard(record);
    } catch (error) {
      log("error", "a sandbox could not be undone", { sandbox: shortId(record.id), error: errorMessage(error) });
    }
  }

  #discard(record: SandboxRecord): void {
    const namespace = this.#namespaces.get(record.id);
    this.#namespaces.delete(record.id);
    this.#parts.reaper.discard(record, namespace);
  }

  /** Spares are dropped; what containers use stays. */
  close(): void {
    for (const spares of [this.#spares, this.#mapped]) spares?.close();
    for (const namespace of this.#namespaces.values()) namespace[Symbol.dispose]();
    this.#namespaces.clear();
  }
}

/** What any endpoint on the default network has: nothing that a spare would lack. */
function isPlain(request: EndpointRequest | undefined, defaultNetworkId: string): boolean {
  return (
    request !== undefined &&
    request.networkId === defaultNetworkId &&
    request.ipv4 === undefined &&
    request.ipv6 === undefined &&
    request.mac === undefined &&
    (request.linkLocal ?? []).length === 0 &&
    Object.keys(request.driverOptions).length === 0
  );
}

function openNamespace(path: string): NetworkNamespace | undefined {
  try {
    return NetworkNamespace.open(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

function difference(had: readonly DefaultRoute[], wanted: readonly DefaultRoute[]): [DefaultRoute[], DefaultRoute[]] {
  return [
    had.filter((route) => !wanted.some((each) => isSameRoute(each, route))),
    wanted.filter((route) => !had.some((each) => isSameRoute(each, route))),
  ];
}

function joined(namespacePath: string): Sandbox {
  return { kind: "container", id: "", namespacePath, endpoints: [], ports: [], hasResolver: false };
}
