import type { EndpointSettings } from "../schema/container-config.ts";
import type { Filters } from "../schema/filters.ts";
import type { NetworkCreateRequest, NetworkCreateResponse, NetworkInspect } from "../schema/network.ts";
import type { NetworksPruneResponse } from "../schema/prune.ts";

/**
 * Networks, as the routes need them. `ref` is a name, an id, or a beginning of an id that is unique. All methods throw
 * EngineError: not_found ("network x not found"), invalid_argument for an ambiguous reference.
 */
export interface NetworkBackend {
  /** Names of filters are already checked against Docker's list, and `dangling`; other values are not. */
  list(filters: Filters): Promise<NetworkInspect[]>;
  /** @param options.scope only a network of that scope; absent: of any. */
  inspect(ref: string, options: { scope?: string }): Promise<NetworkInspect>;
  /** @throws EngineError already_exists, conflict, forbidden for a reserved name; nothing half made is left. */
  create(request: NetworkCreateRequest): Promise<NetworkCreateResponse>;
  /** @throws EngineError forbidden for one that is built in, and while a running container is on it. */
  remove(ref: string): Promise<void>;
  /** @param container id or name. @throws EngineError invalid_argument, forbidden, conflict. */
  connect(ref: string, container: string, endpoint: EndpointSettings): Promise<void>;
  /** @param options.force also where the container or the network is not there any more. */
  disconnect(ref: string, container: string, options: { force: boolean }): Promise<void>;
  /** Removes those that no running container is on, save the built-in ones. */
  prune(filters: Filters): Promise<NetworksPruneResponse>;
}
