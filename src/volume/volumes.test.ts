import type { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../core/database.ts";
import { VolumeStore, volumeSchema } from "./volumes.ts";

let root: string;
let database: Database;
const path = () => join(root, "metadata.db");
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-volumes-"));
  database = openDatabase(path(), [volumeSchema]);
});
afterEach(() => {
  database.close();
  rmSync(root, { recursive: true, force: true });
});

describe("the volume store", () => {
  test("a record is found again by the next daemon, until it is deleted", () => {
    const volume = {
      name: "data",
      driver: "local",
      options: { type: "tmpfs", device: "tmpfs" },
      labels: { a: "1" },
      createdAt: "2026-01-01T00:00:00.000Z",
      anonymous: false,
    };
    const store = new VolumeStore(database);
    store.insert([volume, { ...volume, name: "other", options: null, anonymous: true }]);
    const reopened = new VolumeStore(database);
    expect(reopened.get("data")).toEqual(volume);
    expect(reopened.list()).toEqual(store.list());
    reopened.delete("data");
    expect(reopened.get("data")).toBeUndefined();
    expect(new VolumeStore(database).list().map(({ name }) => name)).toEqual(["other"]);
  });

  test("volumes of a tsd that knew the local driver alone are the local driver's", () => {
    const older = openDatabase(join(root, "older.db"), [{ part: "volume", steps: [volumeSchema.steps[0]!] }]);
    older.run("INSERT INTO volumes VALUES ('old', '2026-01-01T00:00:00.000Z', 0, '{}')");
    older.close();
    using migrated = openDatabase(join(root, "older.db"), [volumeSchema]);
    expect(new VolumeStore(migrated).get("old")).toMatchObject({ driver: "local", options: null, labels: {} });
  });
});
