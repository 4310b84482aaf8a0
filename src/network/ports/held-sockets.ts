/** The daemon's view of what `tsd proxy` holds: it is told again whenever that process is a new one. */
import { log } from "../../core/log.ts";
import { type Ask, Companion, type CompanionOptions } from "../companion/companion.ts";
import { shownEndpoint } from "./proxy/endpoint.ts";
import { type ProxyRequests, proxyProtocol, type Refusal, type SocketGroup, socketName } from "./proxy/protocol.ts";

export type ProxyOptions = Pick<CompanionOptions, "socketPath" | "logPath" | "logLevel" | "onStarted" | "command">;

/** While the proxy was away another program may have taken a port: it is asked for again until that one is gone. */
const missingRetryMs = 10_000;

export class HeldSockets {
  readonly #companion: Companion;
  /** What is to be held, by groups that are held all or not at all. */
  readonly #groups = new Set<SocketGroup>();
  /** Those that are being asked for: their answer is still to come, however often the proxy is a new one meanwhile. */
  readonly #asked = new Set<SocketGroup>();
  #missing: SocketGroup[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(options: ProxyOptions) {
    this.#companion = new Companion({
      ...options,
      mode: "proxy",
      protocol: proxyProtocol,
      isNeeded: () => this.#groups.size > 0,
      restate: (ask) => this.#restate(ask),
    });
  }

  /**
   * Has the host's sockets held.
   * @returns the groups that could not be, each by its place.
   * @throws EngineError unavailable when the proxy cannot be asked: none is held then.
   */
  async hold(groups: readonly SocketGroup[]): Promise<Refusal[]> {
    for (const group of groups) this.#groups.add(group);
    for (const group of groups) this.#asked.add(group);
    try {
      const { refused } = (await this.#companion.ask("hold", { groups })) as ProxyRequests["hold"]["result"];
      for (const { group } of refused) this.#groups.delete(groups[group]!);
      return refused;
    } catch (error) {
      await this.drop(groups);
      throw error;
    } finally {
      for (const group of groups) this.#asked.delete(group);
    }
  }

  /** Lets go of them. That the proxy is not there is no error: the next one is not told of them. */
  async drop(groups: readonly SocketGroup[]): Promise<void> {
    for (const group of groups) this.#groups.delete(group);
    this.#missing = this.#missing.filter((group) => this.#groups.has(group));
    const names = groups.flat().map(socketName);
    if (names.length > 0) await this.#companion.tell("drop", { names });
  }

  /** Tells of what has changed of groups that are held: not the sockets, but whom they are shown as. */
  async update(groups: readonly SocketGroup[]): Promise<void> {
    // Without an answer the next proxy is told everything.
    if (groups.length > 0) await this.#companion.tell("hold", { groups });
  }

  /** After a restart of the daemon: finds the proxy, or starts one, and makes it hold these and no others. */
  async restore(groups: readonly SocketGroup[]): Promise<void> {
    this.#groups.clear();
    for (const group of groups) this.#groups.add(group);
    await this.#companion.restore();
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#companion.close();
  }

  async #restate(ask: Ask): Promise<void> {
    const groups = [...this.#groups].filter((group) => !this.#asked.has(group));
    this.#learn(groups, (await ask("replace", { groups })) as ProxyRequests["replace"]["result"]);
  }

  #learn(groups: readonly SocketGroup[], { refused }: { refused: Refusal[] }): void {
    this.#missing = refused.map(({ group }) => groups[group]!);
    for (const { socket, message } of refused) {
      log("error", "a published port cannot be held", { port: shownEndpoint(socket), error: message });
    }
    clearTimeout(this.#retry);
    if (this.#missing.length === 0) return;
    this.#retry = setTimeout(() => void this.#askAgain(), missingRetryMs);
    this.#retry.unref();
  }

  async #askAgain(): Promise<void> {
    const groups = this.#missing.filter((group) => this.#groups.has(group));
    const answer = await this.#companion.tell("hold", { groups });
    // Without one the next proxy is told everything.
    if (answer !== undefined) this.#learn(groups, answer as ProxyRequests["hold"]["result"]);
  }
}
