/**
 * The events of the past, in the database: one table, bounded by count, by age and by size. Their order is that in which
 * they happened, whatever the clock said: it may have been set back.
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
    "ALTER TABLE events RENAME TO events_by_time",
    `CREATE TABLE events (
       sequence INTEGER PRIMARY KEY,
       size_through INTEGER NOT NULL,
       time_micros INTEGER NOT NULL,
       type TEXT NOT NULL,
       action TEXT NOT NULL,
       actor TEXT NOT NULL,
       attributes TEXT NOT NULL,
       initiator TEXT,
       details TEXT
     ) STRICT`,
    `INSERT INTO events (size_through, time_micros, type, action, actor, attributes, initiator, details)
       SELECT 0, time_micros, type, action, actor, attributes, initiator, details FROM events_by_time ORDER BY time_micros`,
    "DROP TABLE events_by_time",
    "CREATE INDEX events_time ON events (time_micros)",
    "CREATE INDEX events_actor ON events (actor)",
  ],
};

export interface EventRetention {
  /** How many events are kept at most; 0 keeps none. */
  countMax: number;
  ageMaxMs: number;
  /** Of all texts together: labels and the words of an exec can be long, and each event repeats them. */
  bytesMax: number;
}

/** A month of a busy host; some 300 bytes each. */
export const defaultEventRetention: EventRetention = {
  countMax: 50_000,
  ageMaxMs: 30 * 86_400_000,
  bytesMax: 64 << 20,
};

/** How long an event may wait to be written. */
const gatherMs = 10;
/** Those that could not be written (a full disk) and wait to be, at most: then the oldest are lost, and that is logged. */
const unwrittenMax = 4096;
/** How many are read at once: others have their turn between. */
const pageRows = 200;
/** How many more than are to be kept there may be, and the share of those that they may be. */
const excess = { count: 256, share: 0.1 };

interface Row {
  sequence: number;
  /** Of its texts and those of all before it. */
  size_through: number;
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
  /** `lastSequence` at some time: what happens after it is not read. */
  throughSequence: number;
}

interface Unwritten {
  sequence: number;
  event: EngineEvent;
}

export class EventHistory {
  readonly #database: Database;
  readonly #retention: EventRetention;
  readonly #insert: Statement;
  #unwritten: Unwritten[] = [];
  #lastSequence: number;
  /** How long all texts are that were ever written, up to those of the newest. */
  #sizeThrough: number;
  #timer: NodeJS.Timeout | undefined;
  /** The newest when the oldest were looked at. */
  #prunedAt = Number.NEGATIVE_INFINITY;
  #isFailing = false;

  constructor(database: Database, retention: EventRetention) {
    this.#database = database;
    this.#retention = retention;
    this.#insert = database.query(
      `INSERT INTO events (sequence, size_through, time_micros, type, action, actor, attributes, initiator, details)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    const last = database.query<Row, []>("SELECT * FROM events ORDER BY sequence DESC LIMIT 1").get();
    this.#lastSequence = last?.sequence ?? 0;
    this.#sizeThrough = last?.size_through ?? 0;
  }

  /** The time of the newest; 0 when there is none. */
  get lastMicros(): number {
    const written = this.#database.query<{ time_micros: number }, []>(
      "SELECT time_micros FROM events ORDER BY sequence DESC LIMIT 1",
    );
    return this.#unwritten.at(-1)?.event.timeMicros ?? written.get()?.time_micros ?? 0;
  }

  /** Of the newest: they are counted, in the order in which they happened. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  add(event: EngineEvent): void {
    if (this.#retention.countMax === 0) return;
    this.#unwritten.push({ sequence: ++this.#lastSequence, event });
    this.#timer ??= setTimeout(() => this.flush(), gatherMs);
  }

  /** The events of that time, in the order in which they happened. */
  async *read(span: EventSpan): AsyncGenerator<EngineEvent, void, void> {
    // What is not written yet is part of the past, too. Later ones come by other ways.
    this.flush();
    const { fromMicros, untilMicros } = span;
    const unwritten = this.#unwritten.filter(({ sequence }) => sequence <= span.throughSequence);
    const throughSequence = (unwritten[0]?.sequence ?? span.throughSequence + 1) - 1;
    const query = this.#database.query<Row, [number, number, number, number]>(
      `SELECT * FROM events WHERE sequence BETWEEN ? AND ? AND +time_micros BETWEEN ? AND ?
         ORDER BY sequence LIMIT ${pageRows}`,
    );
    let next = this.#firstSince(fromMicros);
    while (next !== null) {
      const rows = query.all(next, throughSequence, fromMicros, untilMicros);
      yield* rows.map(eventOf);
      if (rows.length < pageRows) break;
      next = rows.at(-1)!.sequence + 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const isWithin = ({ timeMicros }: EngineEvent) => timeMicros >= fromMicros && timeMicros <= untilMicros;
    yield* unwritten.map(({ event }) => event).filter(isWithin);
  }

  /** @returns the sequence of the first event of that time or a later one; null where there is none. */
  #firstSince(fromMicros: number): number | null {
    const query = this.#database.query<{ first: number | null }, [number]>(
      "SELECT min(sequence) AS first FROM events WHERE time_micros >= ?",
    );
    return query.get(fromMicros)?.first ?? null;
  }

  /** The newest of one container, as many, oldest first. */
  ofContainer(id: string, count: number): EngineEvent[] {
    this.flush();
    const rows = this.#database
      .query<Row, [string, number]>(
        "SELECT * FROM events WHERE type = 'container' AND actor = ? ORDER BY sequence DESC LIMIT ?",
      )
      .all(id, count);
    const unwritten = this.#unwritten
      .map(({ event }) => event)
      .filter(({ type, actor }) => type === "container" && actor.id === id);
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
         ORDER BY sequence DESC LIMIT 1`,
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
      this.#sizeThrough = withoutSync(this.#database, () => this.#database.transaction(() => this.#write())());
      this.#unwritten = [];
      this.#isFailing = false;
    } catch (error) {
      this.#onFailure(error);
    }
  }

  /** @returns the new `#sizeThrough`. */
  #write(): number {
    let sizeThrough = this.#sizeThrough;
    for (const { sequence, event } of this.#unwritten) {
      const { timeMicros, type, action, actor } = event;
      const texts = [JSON.stringify(actor.attributes), textOf(event.initiator), textOf(event.details)];
      for (const text of [action, ...texts]) sizeThrough += text?.length ?? 0;
      this.#insert.run(sequence, sizeThrough, timeMicros, type, action, actor.id, ...texts);
    }
    const newest = this.#unwritten.at(-1)!.sequence;
    const excessMax = Math.min(excess.count, this.#retention.countMax * excess.share);
    if (newest - this.#prunedAt >= excessMax) this.#prune(newest, sizeThrough);
    return sizeThrough;
  }

  /** Costs as much as there is to be deleted. */
  #prune(newest: number, sizeThrough: number): void {
    const { countMax, ageMaxMs, bytesMax } = this.#retention;
    this.#database.run("DELETE FROM events WHERE time_micros < ?", [(Date.now() - ageMaxMs) * 1000]);
    this.#database.run("DELETE FROM events WHERE sequence <= ?", [newest - countMax]);
    this.#database.run(
      `DELETE FROM events
         WHERE sequence < (SELECT sequence FROM events WHERE size_through > ? ORDER BY sequence LIMIT 1)`,
      [sizeThrough - bytesMax],
    );
    this.#prunedAt = newest;
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
