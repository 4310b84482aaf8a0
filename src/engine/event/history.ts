/**
 * The events of the past, in the database: one table, bounded by count and by age.
 *
 * An event costs whoever causes it nothing: events are gathered for some milliseconds, then written together, without
 * waiting for the disk. A daemon that is killed loses at most those of its last moment (`gatherMs`); a power loss what the
 * disk had not got, which later transactions of the database bring along. A client that is killed loses none.
 */
import type { Database, Statement } from "bun:sqlite";
import { type Schema, withoutSync } from "../../core/database.ts";
import { errorMessage } from "../../core/errors.ts";
import type { Initiator } from "../../core/initiator.ts";
import { log } from "../../core/log.ts";
import type { EngineEvent, EventDetails, EventType } from "./bus.ts";

export const eventSchema: Schema = {
  part: "event",
  steps: [
    `CREATE TABLE events (
       time_micros INTEGER PRIMARY KEY,
       type TEXT NOT NULL,
       action TEXT NOT NULL,
       actor TEXT NOT NULL,
       attributes TEXT NOT NULL,
       initiator TEXT
     ) STRICT`,
    "ALTER TABLE events ADD COLUMN details TEXT",
  ],
};

export interface EventRetention {
  /** How many events are kept at most; 0 keeps none. */
  countMax: number;
  ageMaxMs: number;
}

/** A month of a busy host; some 300 bytes each. */
export const defaultEventRetention: EventRetention = { countMax: 50_000, ageMaxMs: 30 * 86_400_000 };

/** How long an event may wait to be written. */
const gatherMs = 10;
/** Those that could not be written (a full disk) and wait to be, at most: then the oldest are lost, and that is logged. */
const unwrittenMax = 4096;
/** How many are read at once: others have their turn between. */
const pageRows = 200;
/** How many more than are to be kept there may be, as a share of those: each look at the oldest costs as much. */
const excess = 0.1;

interface Row {
  time_micros: number;
  type: string;
  action: string;
  actor: string;
  attributes: string;
  initiator: string | null;
  details: string | null;
}

/** Times in microseconds since the epoch, both ends included. */
export interface EventSpan {
  fromMicros: number;
  untilMicros: number;
}

export class EventHistory {
  readonly #database: Database;
  readonly #retention: EventRetention;
  readonly #insert: Statement;
  #unwritten: EngineEvent[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** New ones since the oldest were looked at. */
  #sincePruned = Number.POSITIVE_INFINITY;
  #isFailing = false;

  constructor(database: Database, retention: EventRetention) {
    this.#database = database;
    this.#retention = retention;
    this.#insert = database.query(
      "INSERT INTO events (time_micros, type, action, actor, attributes, initiator, details) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
  }

  /** The time of the newest; 0 when there is none. */
  get lastMicros(): number {
    const written = this.#database.query<{ last: number | null }, []>("SELECT max(time_micros) AS last FROM events");
    return this.#unwritten.at(-1)?.timeMicros ?? written.get()?.last ?? 0;
  }

  /** Each later than the one before. */
  add(event: EngineEvent): void {
    if (this.#retention.countMax === 0 || isOfProbe(event)) return;
    this.#unwritten.push(event);
    this.#timer ??= setTimeout(() => this.flush(), gatherMs);
  }

  /**
   * The events of that time as they are known now, oldest first.
   */
  async *read({ fromMicros, untilMicros }: EventSpan): AsyncGenerator<EngineEvent, void, void> {
    // What is not written yet is part of the past, too. Later ones come by other ways.
    this.flush();
    const unwritten = this.#unwritten.filter((event) => isWithin(event, { fromMicros, untilMicros }));
    const lastMicros = Math.min(untilMicros, (unwritten[0]?.timeMicros ?? this.lastMicros + 1) - 1);
    const query = this.#database.query<Row, [number, number]>(
      `SELECT * FROM events WHERE time_micros BETWEEN ? AND ? ORDER BY time_micros LIMIT ${pageRows}`,
    );
    let next = fromMicros;
    for (;;) {
      const rows = query.all(next, lastMicros);
      yield* rows.map(eventOf);
      if (rows.length < pageRows) break;
      next = rows.at(-1)!.time_micros + 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    yield* unwritten;
  }

  /** The newest of one container, as many, oldest first. */
  ofContainer(id: string, count: number): EngineEvent[] {
    this.flush();
    const rows = this.#database
      .query<Row, [string, number]>(
        "SELECT * FROM events WHERE type = 'container' AND actor = ? ORDER BY time_micros DESC LIMIT ?",
      )
      .all(id, count);
    const unwritten = this.#unwritten.filter(({ type, actor }) => type === "container" && actor.id === id);
    return [...rows.reverse().map(eventOf), ...unwritten].slice(-count);
  }

  /** @returns the id of the container that had that name, or whose id begins so, last; by what is written. */
  findContainer(reference: string): string | undefined {
    this.flush();
    const isBeginning = /^[0-9a-f]{4,64}$/.test(reference);
    const row = this.#database
      .query<{ actor: string }, [string, string]>(
        `SELECT actor FROM events WHERE type = 'container' AND actor != ''
           AND (json_extract(attributes, '$.name') = ? OR (? != '' AND substr(actor, 1, length(?2)) = ?2))
         ORDER BY time_micros DESC LIMIT 1`,
      )
      .get(reference.replace(/^\//, ""), isBeginning ? reference : "");
    return row?.actor;
  }

  /** Writes what is due. What fails stays due, up to a bound. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#unwritten.length === 0) return;
    try {
      withoutSync(this.#database, () => this.#database.transaction(() => this.#write())());
      this.#sincePruned += this.#unwritten.length;
      this.#unwritten = [];
      this.#isFailing = false;
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #write(): void {
    for (const { timeMicros, type, action, actor, initiator, details } of this.#unwritten) {
      const attributes = JSON.stringify(actor.attributes);
      this.#insert.run(timeMicros, type, action, actor.id, attributes, textOf(initiator), textOf(details));
    }
    if (this.#sincePruned >= this.#retention.countMax * excess) this.#prune();
  }

  #prune(): void {
    const { countMax, ageMaxMs } = this.#retention;
    this.#database.run("DELETE FROM events WHERE time_micros < ?", [(Date.now() - ageMaxMs) * 1000]);
    this.#database.run(
      `DELETE FROM events WHERE time_micros <=
         (SELECT time_micros FROM events ORDER BY time_micros DESC LIMIT 1 OFFSET ?)`,
      [countMax],
    );
    this.#sincePruned = 0;
  }

  #onFailure(error: unknown): void {
    const lost = Math.max(0, this.#unwritten.length - unwrittenMax);
    if (lost > 0) this.#unwritten.splice(0, lost);
    // Said once: on a full disk every event would say it again.
    if (!this.#isFailing || lost > 0) {
      log("error", "could not store events", { due: this.#unwritten.length, lost, error: errorMessage(error) });
    }
    this.#isFailing = true;
  }
}

/** Those of a health check's processes are told as they happen: every few seconds for months, they would push out all else. */
function isOfProbe({ action, initiator }: EngineEvent): boolean {
  return initiator?.kind === "engine" && initiator.reason === "health" && action.startsWith("exec_");
}

function isWithin({ timeMicros }: EngineEvent, { fromMicros, untilMicros }: EventSpan): boolean {
  return timeMicros >= fromMicros && timeMicros <= untilMicros;
}

function textOf(value: object | undefined): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function eventOf(row: Row): EngineEvent {
  return {
    type: row.type as EventType,
    action: row.action,
    actor: { id: row.actor, attributes: JSON.parse(row.attributes) as Record<string, string> },
    timeMicros: row.time_micros,
    ...(row.initiator !== null && { initiator: JSON.parse(row.initiator) as Initiator }),
    ...(row.details !== null && { details: JSON.parse(row.details) as EventDetails }),
  };
}
