/** All networks by name and id: what is on record, kept at hand. */
import { advice } from "../core/advice.ts";
import { EngineError } from "../core/errors.ts";
import { newId } from "../core/id.ts";
import type { Network, NetworkDriver } from "./network.ts";
import { type NetworkRecords, plainDefinition } from "./records.ts";

/** The networks that there are from the start, by Docker's names. */
const builtIn: readonly { name: string; driver: NetworkDriver }[] = [
  { name: "bridge", driver: "bridge" },
  { name: "host", driver: "host" },
  { name: "none", driver: "null" },
];

export class NetworkTable {
  readonly #records: NetworkRecords;
  readonly #byId = new Map<string, Network>();
  readonly #byName = new Map<string, Network>();

  constructor(records: NetworkRecords) {
    this.#records = records;
    for (const network of records.networks()) this.#put(network);
    for (const { name, driver } of builtIn) {
      if (this.#byName.has(name)) continue;
      const network = builtInNetwork(name, driver);
      records.addNetwork(network);
      this.#put(network);
    }
  }

  #put(network: Network): void {
    this.#byId.set(network.id, network);
    this.#byName.set(network.name, network);
  }

  /** The oldest first. */
  all(): Network[] {
    return [...this.#byId.values()];
  }

  /** @throws EngineError not_found */
  get(id: string): Network {
    const network = this.#byId.get(id);
    if (network === undefined) throw new EngineError("not_found", `network ${id} not found`);
    return network;
  }

  named(name: string): Network | undefined {
    return this.#byName.get(name);
  }

  /** One of those that are always there. */
  builtIn(name: "bridge" | "host" | "none"): Network {
    return this.#byName.get(name)!;
  }

  /** By id, name, or the beginning of the id that no other has. @throws EngineError not_found, invalid_argument */
  find(reference: string): Network {
    const exact = this.#byId.get(reference) ?? this.#byName.get(reference);
    if (exact !== undefined) return exact;
    const matches = reference === "" ? [] : this.all().filter(({ id }) => id.startsWith(reference));
    if (matches.length > 1) {
      const text = `network ${reference} is ambiguous (${matches.length} matches found on ID prefix)`;
      throw new EngineError("invalid_argument", text);
    }
    const [match] = matches;
    if (match === undefined)
      throw new EngineError("not_found", `network ${reference} not found`, { hint: advice.noNetwork });
    return match;
  }

  /** @throws EngineError already_exists when the name is taken. */
  add(network: Network): void {
    if (this.#byName.has(network.name)) {
      throw new EngineError("already_exists", `network with name ${network.name} already exists`, {
        hint: advice.networkTaken(network.name),
      });
    }
    this.#records.addNetwork(network);
    this.#put(network);
  }

  update(network: Network): void {
    this.#records.updateNetwork(network);
    this.#put(network);
  }

  remove(network: Network): void {
    this.#records.removeNetwork(network.id);
    this.#byId.delete(network.id);
    this.#byName.delete(network.name);
  }
}

function builtInNetwork(name: string, driver: NetworkDriver): Network {
  return {
    id: newId(),
    name,
    driver,
    createdAt: createdNow(),
    subnets: [],
    ...plainDefinition,
  };
}

/** RFC 3339 with nanoseconds, of which the clock gives the first three digits. */
export function createdNow(): string {
  return new Date().toISOString().replace("Z", "000000Z");
}
