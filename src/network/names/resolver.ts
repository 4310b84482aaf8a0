/**
 * The daemon's side of `tsd resolver`: it keeps what is to be known, tells it in batches, and tells all of it anew to a
 * process that was started again. What a process knows it goes on answering with the daemon down.
 */
import { EngineError } from "../../core/errors.ts";
import { type LogLevel, log } from "../../core/log.ts";
import { type Ask, Companion } from "../companion/companion.ts";
import {
  type Change,
  type ChangesAnswer,
  type ChangesRequest,
  type EndpointNames,
  resolverProtocol,
  type ServedSandbox,
} from "./records.ts";

export interface ResolverOptions {
  socketPath: string;
  logPath: string;
  logLevel?: LogLevel;
  /** Told the process that was started. */
  onStarted?: (pid: number) => void;
  /** For tests: what starts it in place of this executable. */
  command?: readonly string[];
}

interface Waiting {
  change: Change;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class Resolver {
  readonly #companion: Companion;
  readonly #sandboxes = new Map<string, ServedSandbox>();
  readonly #endpoints = new Map<string, EndpointNames>();
  #queue: Waiting[] = [];
  #isTelling = false;
  /** The process was told all there is. As long as nobody asks it anything, it need not be, nor be there. */
  #isInformed = false;

  constructor(options: ResolverOptions) {
    this.#companion = new Companion({
      mode: "resolver",
      protocol: resolverProtocol,
      ...options,
      restate: (ask) => this.#restate(ask),
      isNeeded: () => this.#sandboxes.size > 0,
    });
  }

  /**
   * Questions of the sandbox to 127.0.0.11 are answered from then on. Called again, it takes the new settings.
   * @throws EngineError that names the sandbox; nothing of it is kept.
   */
  async serve(sandbox: ServedSandbox): Promise<void> {
    this.#sandboxes.set(sandbox.sandboxId, sandbox);
    try {
      await this.#tell({ change: "serve", sandbox });
    } catch (error) {
      if (this.#sandboxes.get(sandbox.sandboxId) === sandbox) this.#sandboxes.delete(sandbox.sandboxId);
      throw error;
    }
  }

  /** Lets go of the sandbox's network namespace; one that is not served is no error. */
  async release(sandboxId: string): Promise<void> {
    this.#sandboxes.delete(sandboxId);
    await this.#tell({ change: "release", sandboxId });
  }

  /**
   * How a container is found on a network, in place of what was said of the endpoint before. Of a served sandbox all
   * endpoints are told, those without names too: what the sandbox may see follows from them.
   * @throws EngineError for an address that is none; nothing of it is kept.
   */
  async setNames(endpoint: EndpointNames): Promise<void> {
    this.#endpoints.set(endpoint.endpointId, endpoint);
    try {
      await this.#tell({ change: "set", endpoint });
    } catch (error) {
      if (this.#endpoints.get(endpoint.endpointId) === endpoint) this.#endpoints.delete(endpoint.endpointId);
      throw error;
    }
  }

  async removeNames(endpointId: string): Promise<void> {
    this.#endpoints.delete(endpointId);
    await this.#tell({ change: "remove", endpointId });
  }

  /**
   * After a restart of the daemon: all there is. A process that an earlier daemon has started is taken over, and forgets
   * what is not there any more; one that is needed and is not there is started.
   */
  async restore(all: { sandboxes: readonly ServedSandbox[]; endpoints: readonly EndpointNames[] }): Promise<void> {
    this.#sandboxes.clear();
    this.#endpoints.clear();
    for (const sandbox of all.sandboxes) this.#sandboxes.set(sandbox.sandboxId, sandbox);
    for (const endpoint of all.endpoints) this.#endpoints.set(endpoint.endpointId, endpoint);
    await this.#companion.restore();
    this.#isInformed = this.#sandboxes.size > 0;
  }

  /** Leaves the process alone: it goes on answering. */
  close(): void {
    this.#companion.close();
  }

  #tell(change: Change): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ change, resolve, reject });
    // One request at a time, so that none that is repeated comes after a later one; what is said meanwhile goes together.
    if (!this.#isTelling) {
      this.#isTelling = true;
      queueMicrotask(() => void this.#tellAll());
    }
    return promise;
  }

  async #tellAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const waiting = this.#queue;
      this.#queue = [];
      try {
        const errors = await this.#tellOnce(waiting.map(({ change }) => change));
        waiting.forEach(({ resolve, reject }, n) => {
          const error = errors[n] ?? null;
          if (error === null) resolve();
          else reject(new EngineError("internal", error));
        });
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    this.#isTelling = false;
  }

  async #tellOnce(changes: Change[]): Promise<(string | null)[]> {
    if (!this.#isInformed && this.#sandboxes.size === 0) return [];
    if (!this.#isInformed) {
      // Of what was told while nobody asked it may know nothing, or something that is not true any more.
      await this.#restate((request, parameters) => this.#companion.ask(request, parameters));
      this.#isInformed = true;
    }
    const request: ChangesRequest = { changes };
    const { errors } = (await this.#companion.ask("apply", request)) as ChangesAnswer;
    // What waits has to be told yet: of two that end at once the second is let go of by the next request.
    if (this.#sandboxes.size === 0 && this.#queue.length === 0) this.#isInformed = false;
    return errors;
  }

  async #restate(ask: Ask): Promise<void> {
    const request: ChangesRequest = {
      changes: [
        ...[...this.#endpoints.values()].map((endpoint) => ({ change: "set" as const, endpoint })),
        ...[...this.#sandboxes.values()].map((sandbox) => ({ change: "serve" as const, sandbox })),
      ],
    };
    const { errors } = (await ask("replace", request)) as ChangesAnswer;
    // A container that ended meanwhile has no namespace any more; whoever told of it hears of it by its own request.
    for (const error of errors) if (error !== null) log("warn", `tsd resolver: ${error}`);
  }
}
