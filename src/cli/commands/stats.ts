import type { Client } from "../../client/client.ts";
import { containerEvents, containerSample, containerStats } from "../../client/observation.ts";
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { command } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { formatList } from "../format.ts";
import { formatHelp } from "../help.ts";
import { print } from "../output.ts";
import { plainColumns, statsColumns } from "../stats/entry.ts";
import { StatsSource } from "../stats/source.ts";
import { WatchedContainer } from "../stats/watched.ts";

const refreshMs = 500;

export const statsCommand = command({
  usage: "[OPTIONS] [CONTAINER...]",
  summary: "Display a live stream of container(s) resource usage statistics",
  aliases: ["container stats", "stats"],
  flags: {
    all: boolFlag("Show all containers (default shows just running)", { short: "a" }),
    format: stringFlag(formatHelp),
    "no-stream": boolFlag("Disable streaming stats and only pull the first result"),
    "no-trunc": boolFlag("Do not truncate output"),
  },
  arity: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ session, flags, positionals }) => {
    const client = await session.client();
    const isStream = !flags["no-stream"];
    const watched = new WatchedContainers(client, { isStream, all: flags.all });
    const events = positionals.length === 0 ? await watched.follow() : undefined;
    if (events === undefined) for (const name of positionals) watched.add(name);
    await watched.begun();
    if (events === undefined && watched.failures().length > 0) throw joined(watched.failures());
    const format = flags.format || configuredFormat(session, "statsFormat");
    const columns = statsColumns(!flags["no-trunc"]);
    const table = (): string => formatList(watched.entries(), columns, plainColumns, format, "*container.statsContext");
    // The columns are checked before the screen is touched.
    const first = table();
    if (!isStream) {
      watched.leave();
      if (watched.entries().length > 0) print(`${first}\n`);
      return 0;
    }
    return showUntil(events?.over, table);
  },
});

/** @returns when the daemon ends what it tells of containers: there is no more to be shown then. */
async function showUntil(events: Promise<void> | undefined, table: () => string): Promise<number> {
  let isOver = false;
  const over = events?.finally(() => {
    isOver = true;
  });
  const forever = new Promise<never>(() => undefined);
  while (!isOver) {
    print(screen(table()));
    await Promise.race([over ?? forever, Bun.sleep(refreshMs)]);
  }
  return 0;
}

/** From the upper left corner over what stands there, each line and then the rest of the screen cleared behind it. */
function screen(text: string): string {
  const lines = text === "" ? [] : text.split("\n");
  return `\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`;
}

/** One error for all that failed, a line each, as docker prints them. */
function joined(failures: unknown[]): unknown {
  const [first] = failures;
  if (failures.length === 1 || !isEngineError(first)) return first;
  return new EngineError(first.code, failures.map(errorMessage).join("\n"), { cause: first });
}

class WatchedContainers {
  readonly #client: Client;
  readonly #isStream: boolean;
  readonly #all: boolean;
  readonly #source: StatsSource;
  readonly #watched = new Map<string, WatchedContainer>();
  readonly #left = new AbortController();

  constructor(client: Client, { isStream, all }: { isStream: boolean; all: boolean }) {
    this.#client = client;
    this.#isStream = isStream;
    this.#all = all;
    const { address } = client;
    this.#source = new StatsSource(
      (container, options) => containerSample(address, container, options),
      (container, signal) => containerStats(address, container, signal),
    );
  }

  add(container: string): void {
    if (this.#watched.has(container)) return;
    const open = (name: string, signal: AbortSignal) =>
      this.#isStream ? this.#source.follow(name, signal) : this.#source.first(name, signal);
    this.#watched.set(container, new WatchedContainer(container, open, this.#isStream));
  }

  /** All containers that there are, and those that come and go. @returns what settles when nothing more is heard. */
  async follow(): Promise<{ over: Promise<void> }> {
    const events = await containerEvents(this.#client.address, this.#left.signal);
    const over = this.#hear(events);
    for (const { Id } of await this.#client.listContainers({ all: this.#all, size: false, filters: {} })) this.add(Id);
    return { over };
  }

  async #hear(events: Awaited<ReturnType<typeof containerEvents>>): Promise<void> {
    try {
      for await (const { Action, Actor } of events) {
        if (Action === "start" || (Action === "create" && this.#all)) this.add(Actor.ID);
        else if (Action === "destroy" || (Action === "die" && !this.#all)) this.#remove(Actor.ID);
      }
    } catch (error) {
      // The daemon ends, or nobody listens any longer.
      if (!this.#left.signal.aborted && !isEngineError(error, "unavailable")) throw error;
    }
  }

  #remove(container: string): void {
    this.#watched.get(container)?.leave();
    this.#watched.delete(container);
  }

  /** When something is known of each. */
  async begun(): Promise<void> {
    await Promise.all([...this.#watched.values()].map(({ first }) => first));
  }

  entries() {
    return [...this.#watched.values()].map(({ entry }) => entry);
  }

  failures(): unknown[] {
    return [...this.#watched.values()].flatMap(({ failure }) => failure ?? []);
  }

  leave(): void {
    this.#left.abort();
    for (const watched of this.#watched.values()) watched.leave();
  }
}
