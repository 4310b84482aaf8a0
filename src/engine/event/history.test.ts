import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../../core/database.ts";
import { initiatedBy, initiatedByEngine } from "../../core/initiator.ts";
import { EventBus } from "./bus.ts";
import { defaultEventRetention, EventHistory, eventSchema } from "./history.ts";

const directory = mkdtempSync("/tmp/tsd-history-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
const dayMs = 86_400_000;

function open(retention = defaultEventRetention, path = join(directory, `${files++}.db`)) {
  const database = openDatabase(path, [eventSchema]);
  const history = new EventHistory(database, retention);
  const rows = () => database.query<{ n: number }, []>("SELECT count(*) AS n FROM events").get()!.n;
  return { path, database, history, rows, bus: new EventBus(history) };
}

async function actions(bus: EventBus, sinceMicros = 0, untilMicros = Date.now() * 1000 + 1e6): Promise<string[]> {
  const seen: string[] = [];
  const until = Math.min(untilMicros, Date.now() * 1000 + 1000);
  for await (const { action } of bus.subscribe({ sinceMicros, untilMicros: until })) seen.push(action);
  return seen;
}

describe("the history of events", () => {
  test("the next daemon has it, with who did what, and goes on after its last time", async () => {
    const first = open();
    const client = { kind: "client", uid: 7, gid: 8, pid: 9, command: "docker" } as const;
    initiatedBy(client, () => first.bus.publish("container", "stop", "c1", { name: "web" }));
    const last = initiatedByEngine("boot", () => first.bus.publish("container", "start", "c1"));
    first.history.flush();
    first.database.close();
    const next = open(defaultEventRetention, first.path);
    const { timeMicros } = next.bus.publish("container", "die", "c1", { exitCode: "3" });
    expect(timeMicros).toBeGreaterThan(last.timeMicros);
    const seen = [];
    for await (const event of next.bus.subscribe({ sinceMicros: 0, untilMicros: timeMicros })) seen.push(event);
    expect(seen).toMatchObject([
      { action: "stop", actor: { id: "c1", attributes: { name: "web" } }, initiator: client },
      { action: "start", initiator: { kind: "engine", reason: "boot" } },
      { action: "die", actor: { attributes: { exitCode: "3" } } },
    ]);
    expect(seen[2]).not.toHaveProperty("initiator");
  });

  test("events are written together, soon after they happen", async () => {
    const { bus, rows } = open();
    for (let n = 0; n < 20; n++) bus.publish("container", `a${n}`, "c1");
    expect(rows()).toBe(0);
    const deadline = Date.now() + 5000;
    while (rows() === 0 && Date.now() < deadline) await Bun.sleep(1);
    expect(rows()).toBe(20);
  });

  test("processes of health checks are told of as they happen, and push nothing else out", async () => {
    const { bus, history, rows } = open();
    const heard: string[] = [];
    bus.observe(({ action }) => heard.push(action));
    initiatedByEngine("health", () => {
      for (const action of ["exec_create: a", "exec_start: a", "exec_die", "health_status: healthy"]) {
        bus.publish("container", action, "c1");
      }
    });
    bus.publish("container", "exec_die", "c1");
    history.flush();
    expect([heard.length, rows()]).toEqual([5, 2]);
    expect(await actions(bus)).toEqual(["health_status: healthy", "exec_die"]);
  });

  test("those that are read in pages meet those that come meanwhile, none lost or twice", async () => {
    const { bus } = open();
    for (let n = 0; n < 1000; n++) bus.publish("container", `${n}`, "c1");
    const seen: number[] = [];
    for await (const { action } of bus.subscribe({ sinceMicros: 0 })) {
      if (seen.length % 100 === 0 && seen.length < 1000) bus.publish("container", `${1000 + seen.length / 100}`, "c1");
      seen.push(Number(action));
      if (seen.length === 1010) break;
    }
    expect(seen).toEqual(Array.from({ length: 1010 }, (_, n) => n));
    expect(bus.listeners).toBe(0);
  });

  test("the oldest go, by number and by age", async () => {
    const { bus, history, rows } = open({ ...defaultEventRetention, countMax: 700, ageMaxMs: dayMs });
    const old = (Date.now() - 2 * dayMs) * 1000;
    for (let n = 0; n < 3; n++) {
      history.add({ type: "container", action: "old", actor: { id: "c", attributes: {} }, timeMicros: old + n });
    }
    history.flush();
    for (let n = 0; n < 2000; n++) {
      bus.publish("container", `${n}`, "c1");
      if (n % 250 === 0) history.flush();
    }
    history.flush();
    expect(rows()).toBeLessThanOrEqual(700 * 1.1 + 250);
    const seen = await actions(bus);
    expect(seen.at(-1)).toBe("1999");
    expect(seen).not.toContain("old");
  });

  test("the oldest go, by size", async () => {
    const { bus, history, database } = open({ ...defaultEventRetention, bytesMax: 100_000 });
    for (let n = 0; n < 400; n++) {
      bus.publish("container", `exec_start: ${n}`, "c1", { long: "x".repeat(1000) });
      if (n % 10 === 0) history.flush();
    }
    const bytes = database.query<{ sum: number }, []>("SELECT sum(octet_length(attributes)) AS sum FROM events").get()!;
    expect(bytes.sum).toBeLessThanOrEqual(100_000 + 256 * 1100);
    const seen = await actions(bus);
    expect(seen.slice(-90)).toEqual(Array.from({ length: 90 }, (_, n) => `exec_start: ${310 + n}`));
    expect(seen).not.toContain("exec_start: 1");
  });

  test("a clock that was years ahead and was set right costs no event its time, or its place", async () => {
    const { bus, history, path, database } = open();
    const wrongMicros = (Date.now() + 1000 * dayMs) * 1000;
    const actor = { id: "c1", attributes: {} };
    history.add({ type: "container", action: "ahead", actor, timeMicros: wrongMicros });
    history.flush();
    for (const each of [new EventBus(history), bus]) {
      const { timeMicros } = each.publish("container", "right", "c1");
      expect(Math.abs(timeMicros / 1000 - Date.now())).toBeLessThan(10_000);
      for await (const { action } of each.subscribe({ sinceMicros: timeMicros, untilMicros: timeMicros }))
        expect(action).toBe("right");
    }
    expect(history.ofContainer("c1", 9).map(({ action }) => action)).toEqual(["ahead", "right", "right"]);
    const seen = [];
    for await (const { action } of bus.subscribe({ sinceMicros: 0, untilMicros: Date.now() * 1000 + 1000 }))
      seen.push(action);
    expect(seen).toEqual(["right", "right"]);
    database.close();
    expect(open(defaultEventRetention, path).history.lastMicros).toBeLessThan(wrongMicros);
  });

  test("events of a database from before they had an order of their own are kept", async () => {
    const path = join(directory, `${files++}.db`);
    const database = openDatabase(path, [{ ...eventSchema, steps: eventSchema.steps.slice(0, 2) }]);
    for (const [micros, action] of [
      [20, "second"],
      [10, "first"],
    ] as const) {
      database.run(
        "INSERT INTO events (time_micros, type, action, actor, attributes) VALUES (?, 'container', ?, 'c1', '{}')",
        [micros, action],
      );
    }
    database.close();
    const { history } = open(defaultEventRetention, path);
    expect(history.ofContainer("c1", 9).map(({ action }) => action)).toEqual(["first", "second"]);
    expect(history.lastSequence).toBe(2);
  });

  test("none are kept where none are wanted", async () => {
    const nothing = open({ ...defaultEventRetention, countMax: 0 });
    nothing.bus.publish("container", "start", "c1");
    expect(await actions(nothing.bus)).toEqual([]);
  });

  test("a database that takes nothing costs no event its subscribers, and what is due is written later", async () => {
    const { bus, database, history, rows } = open();
    database.run("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no room'); END");
    for (let n = 0; n < 10; n++) bus.publish("container", `${n}`, "c1");
    history.flush();
    expect(await actions(bus)).toHaveLength(10);
    database.run("DROP TRIGGER full");
    bus.publish("container", "10", "c1");
    history.flush();
    expect(rows()).toBe(11);
    expect(await actions(bus)).toEqual(Array.from({ length: 11 }, (_, n) => `${n}`));
  });
});
