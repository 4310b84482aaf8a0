/** Networks without a kernel. They outlive the engines of a test, as what is in the kernel does. */
import { EngineError } from "../../core/errors.ts";
import { newId } from "../../core/id.ts";
import type { Network, NetworkMember, NetworkRequest } from "../../network/network.ts";
import { plainDefinition } from "../../network/records.ts";
import type {
  ContainerNames,
  EndpointRequest,
  Sandbox,
  SandboxEndpoint,
  SandboxRequest,
} from "../../network/sandbox.ts";
import type { NetworksPart } from "../parts.ts";

export class FakeNetworks implements NetworksPart {
  readonly all = [fakeNetwork("bridge", "bridge"), fakeNetwork("host", "host"), fakeNetwork("none", "null")];
  readonly attached = new Map<string, Sandbox>();
  /** The last that was attached, by container. */
  readonly requests = new Map<string, SandboxRequest>();
  readonly connections: EndpointRequest[] = [];
  /** What connect and disconnect are refused with. */
  failure: Error | undefined;
  /** Called in the middle of `restore`. */
  whileRestoring: (() => Promise<void>) | undefined;

  async create(request: NetworkRequest): Promise<{ network: Network; warnings: string[] }> {
    if (this.all.some(({ name }) => name === request.name)) {
      throw new EngineError("already_exists", `network with name ${request.name} already exists`);
    }
    const network = {
      ...fakeNetwork(request.name, "bridge"),
      labels: request.labels,
      options: request.options,
      configOnly: request.configOnly,
      subnets: request.subnets.map(({ subnet = "172.29.0.0/16" }) => ({ subnet, isConfigured: true })),
    };
    this.all.push(network);
    return { network, warnings: ["first", "second"] };
  }

  async remove(id: string): Promise<void> {
    const network = this.find(id);
    if (network.isBuiltIn) throw new EngineError("forbidden", `${network.name} is a pre-defined network`);
    if (this.members(id).length > 0) throw new EngineError("forbidden", `network ${network.name} has active endpoints`);
    this.all.splice(this.all.indexOf(network), 1);
  }

  find(reference: string): Network {
    const network = this.all.find(({ name, id }) => name === reference || id.startsWith(reference));
    if (network === undefined) throw new EngineError("not_found", `network ${reference} not found`);
    return network;
  }

  list(): Network[] {
    return this.all;
  }

  members(id: string): NetworkMember[] {
    return [...this.attached].flatMap(([containerId, { endpoints }]) =>
      endpoints
        .filter(({ networkId }) => networkId === id)
        .map(({ endpointId, mac = "", ipv4 }) => ({
          containerId,
          endpointId,
          mac,
          ipv4: ipv4 === undefined ? "" : `${ipv4}/16`,
          ipv6: "",
        })),
    );
  }

  status(): { subnet: string; inUse: bigint; available: bigint }[] {
    return [{ subnet: "172.28.0.0/16", inUse: 3n, available: 65_533n }];
  }

  prepare(): void {
    // Nothing has to be made.
  }

  async attach(containerId: string, request: SandboxRequest): Promise<Sandbox> {
    if (this.attached.has(containerId)) {
      throw new EngineError("conflict", `container ${containerId} is attached to its network already`);
    }
    this.requests.set(containerId, request);
    const { kind } = request;
    const endpoints =
      kind === "networks"
        ? request.endpoints.map((endpoint, index) => this.#endpoint(endpoint.networkId, index, endpoint.names))
        : kind === "container"
          ? []
          : [this.#endpoint(this.find(kind).id, 0)];
    const ports = (kind === "networks" ? request.ports : []).map(({ transport, containerPort, hostPorts }) => ({
      transport,
      containerPort,
      hostAddress: "0.0.0.0",
      hostPort: hostPorts?.first ?? 49_153,
      mode: "nat" as const,
    }));
    const hasResolver = endpoints.some(({ networkName }) => !builtIn.includes(networkName));
    const joined = kind === "container" && { namespacePath: request.namespacePath };
    this.attached.set(containerId, { kind, id: "s", endpoints, ports, hasResolver, ...joined });
    return this.sandbox(containerId)!;
  }

  async detach(containerId: string): Promise<void> {
    this.attached.delete(containerId);
  }

  /** A picture of what there is, as the real part gives it. */
  sandbox(containerId: string): Sandbox | undefined {
    return structuredClone(this.attached.get(containerId));
  }

  async connect(containerId: string, request: EndpointRequest): Promise<Sandbox> {
    if (this.failure !== undefined) throw this.failure;
    this.connections.push(request);
    const there = this.attached.get(containerId)!;
    there.endpoints.push(this.#endpoint(request.networkId, there.endpoints.length, request.names));
    there.kind = there.endpoints.some(({ driver }) => driver === "null") ? "none" : "networks";
    return this.#changed(containerId, there);
  }

  async disconnect(containerId: string, networkId: string): Promise<Sandbox> {
    if (this.failure !== undefined) throw this.failure;
    const there = this.attached.get(containerId)!;
    there.endpoints = there.endpoints.filter((endpoint) => endpoint.networkId !== networkId);
    there.kind = "networks";
    return this.#changed(containerId, there);
  }

  async rename(containerId: string, { names }: ContainerNames): Promise<Sandbox | undefined> {
    if (this.failure !== undefined) throw this.failure;
    const there = this.attached.get(containerId);
    for (const endpoint of there?.endpoints ?? []) endpoint.names = names.get(endpoint.networkId) ?? endpoint.names;
    return this.sandbox(containerId);
  }

  async restore(live: ReadonlyMap<string, unknown>): Promise<void> {
    for (const id of this.attached.keys()) if (!live.has(id)) this.attached.delete(id);
    await this.whileRestoring?.();
  }

  warnings(): string[] {
    return [];
  }

  #changed(containerId: string, there: Sandbox): Sandbox {
    there.hasResolver = there.endpoints.some(({ networkName }) => !builtIn.includes(networkName));
    return this.sandbox(containerId)!;
  }

  #endpoint(reference: string, index: number, names: string[] = []): SandboxEndpoint {
    const { id: networkId, name: networkName, driver } = this.find(reference);
    const place = { networkId, networkName, driver, endpointId: newId(), names, gatewayPriority: 0 };
    if (driver !== "bridge") return place;
    const block = 28 + this.all.findIndex(({ id }) => id === networkId);
    const host = 2 + this.members(networkId).length;
    return {
      ...place,
      interface: `eth${index}`,
      ipv4: `172.${block}.0.${host}`,
      ipv4PrefixLength: 16,
      ipv4Gateway: `172.${block}.0.1`,
      mac: `02:42:ac:${block.toString(16)}:00:0${host}`,
    };
  }
}

const builtIn = ["bridge", "host", "none"];

function fakeNetwork(name: string, driver: Network["driver"]): Network {
  return {
    id: newId(),
    name,
    driver,
    createdAt: "2026-01-01T00:00:00.000000000Z",
    ...plainDefinition,
    subnets: driver === "bridge" ? [{ subnet: "172.28.0.0/16", gateway: "172.28.0.1" }] : [],
    isBuiltIn: builtIn.includes(name),
  };
}
