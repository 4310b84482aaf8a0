/** The service that the API's network routes call. */
import type { EndpointSettings } from "../../api/schema/container-config.ts";
import type { Filters } from "../../api/schema/filters.ts";
import type { NetworkCreateRequest, NetworkCreateResponse, NetworkInspect } from "../../api/schema/network.ts";
import type { NetworksPruneResponse } from "../../api/schema/prune.ts";
import { advice } from "../../core/advice.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import type { Network } from "../../network/network.ts";
import { connectContainer, disconnectContainer } from "../container/connect.ts";
import type { Container } from "../container/container.ts";
import type { EngineContext } from "../context.ts";
import { attemptPrune, PruneLock, pruneFilter } from "../storage/pruning.ts";
import { filterNetworks } from "./filter.ts";
import { networkRequest } from "./request.ts";
import { networkView } from "./view.ts";

export class NetworkService {
  readonly #context: EngineContext;
  readonly #pruning = new PruneLock();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async list(filters: Filters): Promise<NetworkInspect[]> {
    const { networks } = this.#context;
    const isUsed = ({ id }: Network) => networks.members(id).some(({ containerId }) => this.#isActive(containerId));
    return filterNetworks(networks.list(), filters, isUsed).map((network) => this.#view(network));
  }

  async inspect(reference: string, { scope }: { scope?: string }): Promise<NetworkInspect> {
    const network = this.#context.networks.find(reference);
    if (scope !== undefined && scope !== "local") {
      throw new EngineError("not_found", `network ${reference} not found in scope ${scope}`, {
        hint: advice.noNetwork,
      });
    }
    return this.#view(network);
  }

  async create(request: NetworkCreateRequest): Promise<NetworkCreateResponse> {
    const { network, warnings } = await this.#context.networks.create(networkRequest(request));
    this.#event("create", network);
    return { Id: network.id, Warning: warnings.join("\n") };
  }

  async remove(reference: string): Promise<void> {
    await this.#remove(this.#context.networks.find(reference));
  }

  async connect(reference: string, container: string, endpoint: EndpointSettings): Promise<void> {
    const { containers, networks } = this.#context;
    await connectContainer(this.#context, containers.find(container), networks.find(reference), endpoint);
  }

  async disconnect(reference: string, container: string, { force }: { force: boolean }): Promise<void> {
    const found = this.#findContainer(container, force);
    if (found === undefined) return this.#disconnectLost(reference, container);
    const network = this.#findNetwork(reference);
    if (network === undefined && found.active && !force) throw notFound(reference);
    await disconnectContainer(this.#context, found, network, reference);
  }

  prune(filters: Filters): Promise<NetworksPruneResponse> {
    return this.#pruning.run("networks", async () => {
      const { networks, events } = this.#context;
      const matches = pruneFilter(filters);
      const deleted: string[] = [];
      for (const network of [...networks.list()]) {
        // As in Docker, a configuration is not what nobody uses, although no container is on it.
        if (network.isBuiltIn || network.configOnly || !matches(network)) continue;
        await this.#settled(network);
        if (networks.members(network.id).length > 0) continue;
        const removed = await attemptPrune(`network ${network.name}`, async () => {
          await this.#remove(network);
          return true;
        });
        if (removed) deleted.push(network.name);
      }
      events.publish("network", "prune", "", { reclaimed: "0" });
      return { NetworksDeleted: deleted };
    });
  }

  async #remove(network: Network): Promise<void> {
    await this.#settled(network);
    await this.#context.networks.remove(network.id);
    this.#event("destroy", network);
  }

  /** A container that has ended leaves its networks a moment later: whoever was told of its end may come first. */
  async #settled({ id }: Network): Promise<void> {
    const { networks, locks } = this.#context;
    for (const { containerId } of networks.members(id)) {
      if (!this.#isActive(containerId)) await locks.run(containerId, () => undefined);
    }
  }

  #view(network: Network): NetworkInspect {
    const { networks } = this.#context;
    return networkView(network, {
      members: networks.members(network.id).filter(({ containerId }) => this.#isActive(containerId)),
      status: networks.status(network.id),
      containerName: (id) => this.#nameOf(id),
    });
  }

  #isActive(containerId: string): boolean {
    return this.#context.containers.get(containerId)?.active === true;
  }

  #nameOf(containerId: string): string {
    return this.#context.containers.get(containerId)?.name ?? "";
  }

  #event(action: "create" | "destroy", { id, name, driver }: Network): void {
    this.#context.events.publish("network", action, id, { name, type: driver });
  }

  /** @returns undefined for one that is gone, where that is to be put up with. */
  #findContainer(reference: string, force: boolean): Container | undefined {
    try {
      return this.#context.containers.find(reference);
    } catch (error) {
      if (force && isEngineError(error, "not_found")) return undefined;
      throw error;
    }
  }

  #findNetwork(reference: string): Network | undefined {
    try {
      return this.#context.networks.find(reference);
    } catch (error) {
      if (isEngineError(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** An endpoint whose container has no record any more. @throws EngineError not_found in docker's words. */
  async #disconnectLost(reference: string, container: string): Promise<void> {
    const { networks } = this.#context;
    const network = networks.find(reference);
    const member = networks.members(network.id).find(({ containerId }) => containerId.startsWith(container));
    if (member === undefined) throw new EngineError("not_found", `endpoint ${container} not found`);
    await networks.disconnect(member.containerId, network.id);
  }
}

function notFound(reference: string): EngineError {
  return new EngineError("not_found", `network ${reference} not found`, { hint: advice.noNetwork });
}
