/** Networks that are records alone, for tests of the routes and of clients. */
import { EngineError } from "../../core/errors.ts";
import type { NetworkBackend } from "../backend/networks.ts";
import type { NetworkCreateRequest, NetworkInspect } from "../schema/network.ts";

export class FakeNetworks implements NetworkBackend {
  readonly #call: (call: string) => void;
  readonly #networks = new Map<string, NetworkInspect>();

  constructor(call: (call: string) => void) {
    this.#call = call;
    for (const [name, driver] of [
      ["bridge", "bridge"],
      ["host", "host"],
      ["none", "null"],
    ] as const) {
      this.#networks.set(name, fakeNetwork({ Name: name, Driver: driver }));
    }
  }

  async list(filters: Record<string, string[]>): Promise<NetworkInspect[]> {
    this.#call(`networks ${JSON.stringify(filters)}`);
    return [...this.#networks.values()];
  }

  async inspect(ref: string, { scope }: { scope?: string }): Promise<NetworkInspect> {
    const network = this.#find(ref);
    if (scope !== undefined && scope !== network.Scope) throw notFound(ref);
    return network;
  }

  async create(request: NetworkCreateRequest): Promise<{ Id: string; Warning: string }> {
    this.#call(`create network ${JSON.stringify(request)}`);
    if (this.#networks.has(request.Name)) {
      throw new EngineError("already_exists", `network with name ${request.Name} already exists`);
    }
    const network = fakeNetwork(request);
    this.#networks.set(request.Name, network);
    return { Id: network.Id, Warning: "" };
  }

  async remove(ref: string): Promise<void> {
    const { Name } = this.#find(ref);
    if (Name === "bridge") throw new EngineError("forbidden", "bridge is a pre-defined network and cannot be removed");
    this.#networks.delete(Name);
  }

  async connect(ref: string, container: string, endpoint: object): Promise<void> {
    this.#call(`connect ${this.#find(ref).Name} ${container} ${JSON.stringify(endpoint)}`);
  }

  async disconnect(ref: string, container: string, { force }: { force: boolean }): Promise<void> {
    this.#call(`disconnect ${this.#find(ref).Name} ${container} ${force}`);
  }

  async prune(filters: Record<string, string[]>): Promise<{ NetworksDeleted: string[] }> {
    this.#call(`prune networks ${JSON.stringify(filters)}`);
    return { NetworksDeleted: [] };
  }

  #find(ref: string): NetworkInspect {
    for (const network of this.#networks.values()) {
      if (network.Name === ref || network.Id.startsWith(ref)) return network;
    }
    throw notFound(ref);
  }
}

function notFound(ref: string): EngineError {
  return new EngineError("not_found", `network ${ref} not found`);
}

export function fakeNetwork(request: NetworkCreateRequest): NetworkInspect {
  const digits = Buffer.from(request.Name).toString("hex");
  return {
    Name: request.Name,
    Id: digits.padEnd(64, "0"),
    Created: "2026-01-02T03:04:05.123456789Z",
    Scope: "local",
    Driver: request.Driver ?? "bridge",
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: request.IPAM?.Config ?? [] },
    Internal: request.Internal ?? false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Options: request.Options ?? {},
    Labels: request.Labels ?? {},
    Containers: {
      c0ffee: { Name: "web", EndpointID: "e", MacAddress: "", IPv4Address: "172.28.0.2/16", IPv6Address: "" },
    },
    Status: {
      IPAM: { Subnets: { "fd00::/64": { IPsInUse: 2n, DynamicIPsAvailable: 2n ** 64n - 2n } } },
    },
  };
}
