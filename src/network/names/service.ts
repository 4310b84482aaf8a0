/** The resolver as the daemon sees it: told what there is, it answers for all sandboxes. */
import { EngineError, errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { EventLoop } from "../companion/loop.ts";
import type { CompanionService } from "../companion/server.ts";
import type { Knowledge } from "./answers.ts";
import { desertedNamespaces } from "./deserted.ts";
import { Forwarder } from "./forward.ts";
import { HostServers } from "./host-servers.ts";
import type { Change, ChangesAnswer, ChangesRequest, ServedSandbox } from "./records.ts";
import { SandboxServer } from "./sandbox-server.ts";
import { NameTable } from "./table.ts";

interface Served {
  told: ServedSandbox;
  server: SandboxServer;
}

export class ResolverService implements CompanionService {
  readonly #loop: EventLoop;
  readonly #knowledge: Knowledge;
  readonly #sandboxes = new Map<string, Served>();
  #suspects: ReadonlySet<string> = new Set();

  constructor(loop: EventLoop, hostServers: HostServers = new HostServers()) {
    this.#loop = loop;
    this.#knowledge = { table: new NameTable(), forwarder: new Forwarder(loop), hostServers };
  }

  get isIdle(): boolean {
    return this.#sandboxes.size === 0;
  }

  /** @throws EngineError for a request that is none of its. */
  answer(request: string, parameters: unknown): ChangesAnswer {
    const { changes } = parameters as ChangesRequest;
    this.#suspects = new Set();
    if (request === "replace") this.#forgetOthers(changes);
    else if (request !== "apply") throw new EngineError("invalid_argument", `tsd resolver: unknown request ${request}`);
    return { errors: changes.map((change) => this.#tryApply(change)) };
  }

  close(): void {
    for (const { server } of this.#sandboxes.values()) server.close();
    this.#sandboxes.clear();
  }

  #forgetOthers(changes: readonly Change[]): void {
    const sandboxes = new Set(changes.map((change) => (change.change === "serve" ? change.sandbox.sandboxId : "")));
    const endpoints = new Set(changes.map((change) => (change.change === "set" ? change.endpoint.endpointId : "")));
    for (const id of [...this.#sandboxes.keys()]) if (!sandboxes.has(id)) this.#release(id);
    const { table } = this.#knowledge;
    for (const id of table.endpointIds()) if (!endpoints.has(id)) table.remove(id);
  }

  #tryApply(change: Change): string | null {
    try {
      this.#apply(change);
      return null;
    } catch (error) {
      log("warn", errorMessage(error));
      return errorMessage(error);
    }
  }

  #apply(change: Change): void {
    switch (change.change) {
      case "serve":
        this.#serve(change.sandbox);
        break;
      case "release":
        this.#release(change.sandboxId);
        break;
      case "set":
        this.#knowledge.table.set(change.endpoint);
        break;
      case "remove":
        this.#knowledge.table.remove(change.endpointId);
        break;
    }
  }

  #serve(sandbox: ServedSandbox): void {
    const { sandboxId } = sandbox;
    const before = this.#sandboxes.get(sandboxId);
    // The path may be another one for the same namespace: after a restart of the daemon it is the container's.
    if (before?.server.isIn(sandbox.namespacePath) && hasSameSettings(before.told, sandbox)) return;
    this.#release(sandboxId);
    const server = new SandboxServer(this.#loop, this.#knowledge, sandbox);
    this.#sandboxes.set(sandboxId, { told: sandbox, server });
  }

  #release(sandboxId: string): void {
    this.#sandboxes.get(sandboxId)?.server.close();
    this.#sandboxes.delete(sandboxId);
  }

  /**
   * The sockets here hold the network namespaces of containers: with the daemon down nobody says that a container has
   * ended, and its namespace would stay, with its address. One that has had no process for two looks has ended; a
   * container that was being made when the daemon died has none for less than that.
   */
  lookAround(): void {
    const namespaces = new Map([...this.#sandboxes].map(([id, { server }]) => [id, server.namespaceId]));
    const deserted = namespaces.size === 0 ? new Set<string>() : desertedNamespaces(namespaces);
    for (const id of deserted) {
      if (!this.#suspects.has(id)) continue;
      log("info", "a sandbox has no process any more", { sandbox: id.slice(0, 12) });
      this.#release(id);
      this.#knowledge.table.removeSandbox(id);
    }
    this.#suspects = deserted;
  }
}

function hasSameSettings(a: ServedSandbox, b: ServedSandbox): boolean {
  const settings = ({ servers, keepsSingleLabels }: ServedSandbox) =>
    JSON.stringify([servers, keepsSingleLabels ?? false]);
  return settings(a) === settings(b);
}
