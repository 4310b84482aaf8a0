/**
 * The servers of one shim process. There is one, with one container, unless the daemon asks for more: then the
 * containers of a group share the process and its memory, each with a socket, records and streams of its own.
 */
import type { ContainerContext } from "./container.ts";
import { ShimServer } from "./server.ts";

export class Household {
  readonly #context: Omit<ContainerContext, "daemonStays" | "socketPath">;
  readonly #servers = new Set<ShimServer>();
  readonly #empty = Promise.withResolvers<void>();
  /** It is, or was, the process of several: what an earlier container has left in it could be another's. */
  isShared = false;

  constructor(context: Omit<ContainerContext, "daemonStays" | "socketPath">) {
    this.#context = context;
  }

  /** Resolves when the last server has nothing more to do. */
  get done(): Promise<void> {
    return this.#empty.promise;
  }

  /** @throws EngineError when it cannot listen at the path. */
  open(socketPath: string): void {
    const server = new ShimServer({ ...this.#context, socketPath }, this);
    server.listen();
    if (this.#servers.size > 0) this.isShared = true;
    else server.prepareSoon();
    this.#servers.add(server);
    void server.done.then(() => {
      this.#servers.delete(server);
      if (this.#servers.size === 0) this.#empty.resolve();
    });
  }

  /** Asked to end from outside: only without a container, for which it is the parent. @returns whether it ends. */
  terminate(): boolean {
    const servers = [...this.#servers];
    if (servers.some(({ isParent }) => isParent)) return false;
    for (const server of servers) server.end();
    return true;
  }
}
