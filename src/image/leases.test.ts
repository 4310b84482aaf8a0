import type { Database } from "bun:sqlite";
import { beforeEach, describe, expect, test } from "bun:test";
import { openDatabase } from "../core/database.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import { Leases } from "./leases.ts";
import { imageSchema } from "./schema.ts";

const blob: Digest = digestOf("blob");
const chain: Digest = digestOf("chain");

describe("a lease", () => {
  let database: Database;
  let leases: Leases;

  beforeEach(() => {
    database = openDatabase(":memory:", [imageSchema]);
    leases = new Leases(database);
  });

  /** As the daemon that comes after a killed one. */
  function restart(): void {
    leases = new Leases(database);
  }

  test("holds what was added to it until it is disposed of", () => {
    {
      using lease = leases.take("pull x");
      expect(leases.all()).toEqual([]); // nothing to hold, nothing on record
      lease.add({ content: [blob], chains: [chain] });
      lease.add({ content: [blob] });
      expect([leases.holdsContent(blob), leases.holdsChain(chain)]).toEqual([true, true]);
      expect([leases.holdsContent(chain), leases.holdsChain(blob)]).toEqual([false, false]);
      expect(leases.all()).toMatchObject([{ reason: "pull x", isLive: true, resources: 2 }]);
    }
    expect(leases.holdsContent(blob)).toBe(false);
    expect(leases.all()).toEqual([]);
  });

  test("that is kept outlives its taker, and the next one for that reason takes it over", () => {
    {
      using lease = leases.take("pull x");
      lease.add({ content: [blob] });
      lease.keep();
    }
    expect(leases.all()).toMatchObject([{ isLive: false }]);
    const other = leases.take("pull y");
    other[Symbol.dispose]();
    expect(leases.holdsContent(blob)).toBe(true);
    const next = leases.take("pull x");
    next.add({ chains: [chain] });
    expect(leases.all()).toMatchObject([{ isLive: true, resources: 2 }]);
    next[Symbol.dispose]();
    expect(leases.all()).toEqual([]);
    expect(leases.holdsContent(blob)).toBe(false);
  });

  test("of two that work for the same reason at once is each one's own", () => {
    const first = leases.take("pull x");
    first.add({ content: [blob] });
    const second = leases.take("pull x");
    second.add({ content: [blob] });
    second[Symbol.dispose]();
    expect(leases.holdsContent(blob)).toBe(true);
    first[Symbol.dispose]();
    expect(leases.holdsContent(blob)).toBe(false);
  });

  test("of a killed daemon is dropped by the next one, unless it was a pull's, which continues", () => {
    for (const reason of ["pull x", "load 1", "commit 2"]) leases.take(reason).add({ content: [blob] });
    restart();
    leases.dropUnresumable();
    expect(leases.all().map(({ reason }) => reason)).toEqual(["pull x"]);
  });

  test("of a killed daemon is there, and expires when nobody touched it for a while; a live one never does", () => {
    leases.take("pull x").add({ content: [blob] });
    restart();
    const live = leases.take("pull y");
    live.add({ content: [chain] });
    const later = new Date(Date.now() + 1);
    expect(leases.expired(new Date(Date.now() - 60_000))).toEqual([]);
    expect(leases.expired(later).map(({ reason }) => reason)).toEqual(["pull x"]);
    database.run("UPDATE leases SET touched_at = '2020-01-01T00:00:00.000Z'");
    leases.touchLive();
    expect(leases.all().map(({ touchedAt }) => touchedAt.startsWith("2020"))).toEqual([true, false]);
    leases.remove(leases.expired(later).map(({ id }) => id));
    expect([leases.holdsContent(blob), leases.holdsContent(chain)]).toEqual([false, true]);
  });
});
