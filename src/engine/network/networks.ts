/** The service that the API's network routes call. */
import type { NetworkCreateResponse, NetworkInspect } from "../../api/schema/network.ts";
import type { NetworksPruneResponse } from "../../api/schema/prune.ts";
import { EngineError } from "../../core/errors.ts";

export class NetworkService {
  async list(): Promise<NetworkInspect[]> {
    throw notBuilt();
  }

  async inspect(): Promise<NetworkInspect> {
    // With these words `docker inspect NAME` looks on among the other kinds of objects, and does not end here.
    throw new EngineError("unsupported", "inspecting networks is not supported by this version of tsd");
  }

  async create(): Promise<NetworkCreateResponse> {
    throw notBuilt();
  }

  async remove(): Promise<void> {
    throw notBuilt();
  }

  async connect(): Promise<void> {
    throw notBuilt();
  }

  async disconnect(): Promise<void> {
    throw notBuilt();
  }

  async prune(): Promise<NetworksPruneResponse> {
    throw notBuilt();
  }
}

function notBuilt(): EngineError {
  return new EngineError("unsupported", "managing networks is not built into this version of tsd");
}
