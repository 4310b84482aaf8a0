/**
 * The containers in memory and in the database, kept alike. Reading never touches the database; writing is either
 * at once, durable when the call returns, or soon, gathered into one transaction with whatever else is due.
 *
 * "Soon" is for what the next daemon would find out by itself from shims, exit records and the container's own
 * definition: that it runs, that an auto-removed container has ended.
 */
import type { Database } from "bun:sqlite";
import type { HostConfig } from "../../api/schema/container-config.ts";
import { advice } from "../../core/advice.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { Container } from "./container.ts";
import type { ContainerDefinition } from "./definition.ts";
import { NameRegistry } from "./names.ts";
import { RecentExits } from "./recent-exits.ts";
import type { ContainerState } from "./state.ts";
import { type ContainerRecord, ContainerTable } from "./table.ts";

/** How long a write that is due soon may wait for company. */
const gatherMs = 10;

export class ContainerStore {
  readonly #database: Database;
  readonly #table: ContainerTable;
  readonly #containers = new Map<string, Container>();
  /** Those with links, which are few. */
  readonly #linked = new Set<Container>();
  /** The last write that is due for each container. */
  readonly #due = new Map<string, () => void>();
  #timer: NodeJS.Timeout | undefined;
  readonly names = new NameRegistry();
  readonly recentExits = new RecentExits();

  constructor(database: Database) {
    this.#database = database;
    this.#table = new ContainerTable(database);
    for (const record of this.#table.all()) {
      this.#remember(new Container(record));
      this.names.reserve(record.name, record.id);
    }
  }

  /** In the order of their creation. */
  all(): Container[] {
    return [...this.#containers.values()];
  }

  /** Containers with HostConfig.Links. */
  linked(): Container[] {
    return [...this.#linked];
  }

  get(id: string): Container | undefined {
    return this.#containers.get(id);
  }

  /**
   * By full id, name, or a beginning of the id that only one container has.
   * @throws EngineError not_found, invalid_argument for an ambiguous beginning; in docker's words.
   */
  find(reference: string): Container {
    const exact = this.findExact(reference);
    if (exact !== undefined) return exact;
    const matches = /^[0-9a-f]+$/.test(reference) ? this.all().filter(({ id }) => id.startsWith(reference)) : [];
    if (matches.length > 1) {
      throw new EngineError("invalid_argument", `Multiple IDs found with provided prefix: ${reference}`);
    }
    if (matches[0] === undefined)
      throw new EngineError("not_found", `No such container: ${reference}`, { hint: advice.noContainer });
    return matches[0];
  }

  /** By a whole id or name. */
  findExact(reference: string): Container | undefined {
    const name = reference.startsWith("/") ? reference.slice(1) : reference;
    return this.#containers.get(reference) ?? this.#containers.get(this.names.holder(name) ?? "");
  }

  /** Stores a new container, and in the same transaction what `along` writes. Its name must be reserved. */
  insert(record: ContainerRecord, along: () => void = () => undefined): Container {
    this.#write(() => {
      this.#table.insert(record);
      along();
    });
    const container = new Container(record);
    this.#remember(container);
    return container;
  }

  /** The next state, durable when this returns. */
  setState(container: Container, state: ContainerState): void {
    const previous = container.state;
    container.setState(state);
    try {
      this.#write(() => this.#table.setState(container.id, state));
    } catch (error) {
      container.restoreState(previous);
      throw error;
    }
  }

  /** The networks that a container is on from now on, durable when this returns. */
  setEndpoints(container: Container, endpoints: ContainerDefinition["endpoints"]): void {
    this.#setDefinition(container, { ...container.definition, endpoints });
  }

  /** HostConfig.Links from now on, durable when this returns. */
  setLinks(container: Container, Links: string[]): void {
    const { definition } = container;
    this.#setDefinition(container, { ...definition, hostConfig: { ...definition.hostConfig, Links } });
  }

  /** Limits and restart policy from now on, durable when this returns. @param updatedFrom as in the definition. */
  setHostConfig(container: Container, hostConfig: HostConfig, updatedFrom?: HostConfig): void {
    const { updatedFrom: _finished, ...definition } = container.definition;
    this.#setDefinition(container, { ...definition, hostConfig, ...(updatedFrom && { updatedFrom }) });
  }

  /**
   * Another name from now on, which must be reserved, and in the same transaction what that changes in other containers.
   * Durable when this returns. The name before stays reserved: it is the caller's to release, when it is not to be had back.
   */
  rename(container: Container, name: string, changed: ReadonlyMap<Container, ContainerDefinition>): void {
    this.#write(() => {
      this.#table.setName(container.id, name);
      for (const [{ id }, definition] of changed) this.#table.setDefinition(id, definition);
    });
    container.setName(name);
    for (const [other, definition] of changed) other.setDefinition(definition);
  }

  #setDefinition(container: Container, definition: ContainerDefinition): void {
    this.#write(() => this.#table.setDefinition(container.id, definition));
    container.setDefinition(definition);
  }

  setStateSoon(container: Container, state: ContainerState): void {
    container.setState(state);
    this.#soon(container.id, () => this.#table.setState(container.id, state));
  }

  /** Forgets a container; its name is free at once. */
  delete(container: Container, along: () => void = () => undefined): void {
    this.#write(() => {
      this.#table.delete(container.id);
      along();
    });
    this.#forget(container);
  }

  deleteSoon(container: Container, along: () => void = () => undefined): void {
    this.#forget(container);
    this.#soon(container.id, () => {
      this.#table.delete(container.id);
      along();
    });
  }

  /** Writes what is due now. @throws what the database says; the writes stay due. */
  flush(): void {
    if (this.#due.size > 0) this.#write(() => undefined);
  }

  #remember(container: Container): void {
    this.#containers.set(container.id, container);
    if (container.definition.hostConfig.Links?.length) this.#linked.add(container);
  }

  #forget(container: Container): void {
    this.#containers.delete(container.id);
    this.#linked.delete(container);
    this.names.release(container.name, container.id);
  }

  /** One transaction: first what was due, so that a name that was given up is free, then the new. */
  #write(work: () => void): void {
    const due = [...this.#due.values()];
    this.#database.transaction(() => {
      for (const write of due) write();
      work();
    })();
    this.#due.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #soon(id: string, write: () => void): void {
    this.#due.set(id, write);
    this.#timer ??= setTimeout(() => this.#flushLater(), gatherMs);
  }

  #flushLater(): void {
    this.#timer = undefined;
    try {
      this.flush();
    } catch (error) {
      // A full disk, most likely: the writes stay due and go with the next that succeeds.
      log("error", "could not store container states", { error: errorMessage(error) });
    }
  }
}
